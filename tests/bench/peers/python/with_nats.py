"""nats-server over TLS, through nats-py, on the event loop of asyncio or (--uvloop) on uvloop."""

import asyncio
import ssl
import sys

import nats
import nats.errors
import parts


async def connect(chosen):
    """A connection that goes on trying, as it does by default."""
    context = ssl.create_default_context(cafile=chosen.certs / "ca.crt")
    context.load_cert_chain(chosen.certs / f"{chosen.identity}.crt", chosen.certs / f"{chosen.identity}.key")

    async def ignore(_error):
        """What the library reports, it recovers from: what is measured is when it has."""

    return await nats.connect(
        f"tls://{chosen.addr}",
        tls=context,
        error_cb=ignore,
        skip_subject_validation=True,
        # What is published while there is no connection; also how much is gathered before a publisher has to wait.
        pending_size=2 * 1024 * 1024,
    )


async def subscribe(connection, chosen, take):
    """Hands what comes to a coroutine. The client throws away what does not fit into its limits."""
    # Messages (by default 524,288), and bytes, which 0 does not limit (128 MiB).
    limits = {"pending_msgs_limit": 4_000_000, "pending_bytes_limit": 0}
    await connection.subscribe(chosen.listens_on, cb=take, **limits)
    await connection.flush()


async def recv(chosen, connection):
    tally = parts.Tally(chosen.size, chosen.count)

    async def take(message):
        tally.take(message.data)

    await subscribe(connection, chosen, take)
    parts.say("READY")
    tally.report_when_done()
    await asyncio.Event().wait()


async def send(chosen, connection):
    parts.say("READY")
    await asyncio.to_thread(sys.stdin.readline)
    payload, publish, subject, start = parts.payload_maker(chosen.size), connection.publish, chosen.publishes, parts.now()
    for number in range(chosen.count):
        await publish(subject, payload(number))
    await connection.flush(timeout=60)
    parts.report_sent(chosen.count, start)
    await asyncio.to_thread(parts.linger)


async def echo(chosen, connection):
    publish, subject = connection.publish, chosen.publishes

    async def take(message):
        await publish(subject, message.data)

    await subscribe(connection, chosen, take)
    parts.say("READY")
    parts.end_with_input()
    await asyncio.Event().wait()


async def ping(chosen, connection):
    answered = None

    async def take(message):
        answered.set_result(message.data)

    await subscribe(connection, chosen, take)
    parts.say("READY")
    await asyncio.to_thread(sys.stdin.readline)
    loop, payload, times = asyncio.get_running_loop(), parts.payload_maker(chosen.size), []
    for number in range(parts.WARM_UP + chosen.count):
        asked, answered = payload(number), loop.create_future()
        start = parts.now()
        await connection.publish(chosen.publishes, asked)
        answer = await answered
        times.append(parts.now() - start)
        parts.check_answer(asked, answer)
    parts.report_round_trips(times)
    await asyncio.to_thread(parts.linger)


async def drip(chosen, connection):
    parts.say("READY")
    parts.end_with_input()
    payload, number = parts.payload_maker(chosen.size), 0
    while True:
        try:
            await connection.publish(chosen.publishes, payload(number))
        except nats.errors.Error:
            pass  # What there is no room for while there is no connection.
        number += 1
        await asyncio.sleep(0.001)


async def watch(chosen, connection):
    seen = parts.Watch()

    async def take(message):
        seen.take(message.data)

    await subscribe(connection, chosen, take)
    parts.say("READY")
    parts.end_with_input()
    await asyncio.Event().wait()


PLAYED = {"recv": recv, "send": send, "echo": echo, "ping": ping, "drip": drip, "watch": watch}


async def main(chosen):
    """Plays the part of the command line."""
    await PLAYED[chosen.role](chosen, await connect(chosen))


if __name__ == "__main__":
    chosen = parts.options("uvloop")
    if chosen.uvloop:
        import uvloop

        uvloop.run(main(chosen))
    else:
        asyncio.run(main(chosen))
