#!/usr/bin/env python3
"""Runs the same workloads on several messaging systems, side by side. See README.md."""

import argparse, copy, datetime, json, os, queue, random, re, shutil, signal, socket, statistics, subprocess, sys
import tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path(tempfile.gettempdir()) / "peerbench-target"))
TICK = os.sysconf("SC_CLK_TCK")
HOST = "127.0.0.1"

# ---------------------------------------------------------------------------------------------------
# The systems. `args` go to peerbench; `n` are the messages of a flood, by size (each run should take
# a second or more), `fan` those of the fan-out.
#
# `slow` go to peerbench too in a flood through a slow line, in which only those take part that have them (or the
# roles `flood` and `sink`); with `slow_side="recv"` the line is between broker and receiver.
#
# >>> A further system is plugged in with `--plug FILE.json`, without touching this script: see
# >>> "Plugging in a further system" in README.md. Its entry takes the same form as those below, with
# >>> `roles` (a command for each role) in place of `args`, or `bench` (a command that prints results).
#
# Those of PYTHON take part where --systems names them ("python" is all of them); `python` is their program, in
# the folder of that name, and its options.

SYSTEMS = {
    "tcp": dict(label="TCP, plain (reference)", args="tcp --threads 0",
                n={64: 40_000_000, 1024: 4_000_000, 16384: 400_000}, fan=4_000_000),
    "tls": dict(label="TLS 1.3 (reference)", args="tls --threads 0",
                n={64: 24_000_000, 1024: 2_500_000, 16384: 200_000}, fan=2_000_000),
    "zmq": dict(label="ZeroMQ CURVE", args="zmq --threads 0",
                n={64: 2_000_000, 1024: 700_000, 16384: 60_000}, fan=150_000),
    "zenoh-tls": dict(label="zenoh, TLS", args="zenoh --threads 1",
                      n={64: 6_000_000, 1024: 1_500_000, 16384: 150_000}, fan=400_000,
                      slow="--threads 2 --queue 1 --batch 1024"),
    "zenoh-small": dict(label="zenoh, TLS, send buffer of 4 KiB", args="zenoh", only=[],
                        slow="--threads 2 --queue 1 --batch 1024 --sndbuf 4096"),
    "zenoh-ll": dict(label="zenoh, TLS, low-latency mode", args="zenoh --proto tls-ll --threads 1", only=["latency", "latency_1core"]),
    "zenoh-quic": dict(label="zenoh, QUIC", args="zenoh --proto quic --threads 1",
                       n={64: 3_000_000, 1024: 500_000, 16384: 80_000}, fan=400_000, cut=False),
    "nats": dict(label="NATS", args="nats --threads 0", broker="nats",
                 n={64: 3_000_000, 1024: 500_000, 16384: 60_000}, fan=300_000, slow="--threads 1 --queue 1"),
    "mqtt-q0": dict(label="Mosquitto, QoS 0", args="mqtt --qos 0 --threads 0", broker="mosquitto",
                    n={64: 500_000, 1024: 200_000, 16384: 60_000}, fan=20_000, slow="--threads 1 --queue 1"),
    "mqtt-small": dict(label="Mosquitto, QoS 0, send buffer of 4 KiB", args="mqtt --qos 0", broker="mosquitto", only=[],
                       slow="--threads 1 --queue 1 --sndbuf 4096"),
    "mqtt-q1": dict(label="Mosquitto, QoS 1", args="mqtt --qos 1 --threads 0", throughput_args="--threads 2", broker="mosquitto",
                    n={64: 500_000, 1024: 100_000, 16384: 40_000}, fan=10_000),
    "mqtt-raw": dict(label="Mosquitto, QoS 0, bare client", args="mqttraw --threads 0", broker="mosquitto",
                     n={64: 500_000, 1024: 200_000, 16384: 60_000}, fan=20_000,
                     only=["latency", "latency_1core", "throughput_64", "throughput_1024", "throughput_16384", "fanout_10"]),
    "redis": dict(label="Redis pub/sub", args="redis --threads 0", broker="redis",
                  n={64: 2_000_000, 1024: 500_000, 16384: 40_000}, fan=150_000),
}

PYTHON = {
    "py-kozo": dict(label="Kōzō", python="with_kozo --standard", broker="kozo",
                    n={64: 200_000, 1024: 100_000, 16384: 15_000}, fan=40_000),
    "py-kozo-msgspec": dict(label="Kōzō with MessagePack", python="with_kozo", broker="kozo",
                            n={64: 1_000_000, 1024: 300_000, 16384: 30_000}, fan=100_000),
    "py-nats": dict(label="nats-py", python="with_nats", broker="nats",
                    n={64: 200_000, 1024: 150_000, 16384: 30_000}, fan=40_000),
    "py-nats-uvloop": dict(label="nats-py, uvloop", python="with_nats --uvloop", broker="nats",
                           n={64: 200_000, 1024: 150_000, 16384: 30_000}, fan=40_000),
    "py-mqtt-q0": dict(label="paho-mqtt, QoS 0", python="with_paho", broker="mosquitto",
                       n={64: 40_000, 1024: 40_000, 16384: 20_000}, fan=5_000),
    "py-mqtt-q1": dict(label="paho-mqtt, QoS 1", python="with_paho --qos1", broker="mosquitto",
                       n={64: 10_000, 1024: 10_000, 16384: 5_000}, fan=1_000),
    "py-zmq": dict(label="pyzmq, CURVE", python="with_pyzmq",
                   n={64: 500_000, 1024: 300_000, 16384: 40_000}, fan=60_000),
    "py-zenoh": dict(label="eclipse-zenoh", python="with_zenoh",
                     n={64: 500_000, 1024: 300_000, 16384: 60_000}, fan=60_000),
}

# What a broker is: its processes, each with the file it reads and its command.
KOZO = """
outgoingQueueLength: 1024
outgoingQueueSize: 512KiB
system:
    a: {{privateKey: {certs}/a.key, publicKey: {key_a}, transports: {{{tcp_a}}}}}
    b: {{privateKey: {certs}/b.key, publicKey: {key_b}, transports: {{{tcp_b}}}}}
"""
TCP = "tcp: {{address: 127.0.0.1, bindAddress: 127.0.0.1, port: {port}}}"

CONFIGS = {
    # Two Nodes: one for the receiving programs, to which the other one connects, of which it knows no address.
    "kozo": [("a.yml", ["kozo", "{conf}", "a"], KOZO.replace("{tcp_a}", TCP).replace("{tcp_b}", "")),
             ("b.yml", ["kozo", "{conf}", "b"], KOZO.replace("{tcp_a}", TCP).replace("{tcp_b}", TCP.replace("{port}", "{other_port}")))],
    "mosquitto": [("mosquitto.conf", ["mosquitto", "-c", "{conf}"], """
listener {port} 127.0.0.1
cafile {certs}/ca.crt
certfile {certs}/broker.crt
keyfile {certs}/broker.key
require_certificate true
use_identity_as_username true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
persistence false
log_type none
user root
""")],
    "nats": [("nats.conf", ["nats-server", "-c", "{conf}"], """
listen: "127.0.0.1:{port}"
tls {{ cert_file: "{certs}/broker.crt", key_file: "{certs}/broker.key", ca_file: "{certs}/ca.crt", verify: true }}
""")],
    "redis": [("redis.conf", ["redis-server", "{conf}"], """
bind 127.0.0.1
port 0
tls-port {port}
tls-cert-file {certs}/broker.crt
tls-key-file {certs}/broker.key
tls-ca-cert-file {certs}/ca.crt
tls-auth-clients yes
client-output-buffer-limit pubsub 0 0 0
save ""
appendonly no
dir {work}
""")],
}

# What says, by its exit code, whether a broker can be used, where that it listens is not enough.
USABLE = {"kozo": ["kozoctl", "--node", "b", "wait", "peer=a:up", "--timeout", "30s"]}

FAST = ["latency", "latency_1core", "throughput_64", "throughput_1024", "throughput_16384", "fanout_10", "recovery"]

# The slow lines: bits a second, and the round trip that they add, in milliseconds.
SLOW = {f"slow_{name}_{rtt}": (rate, rtt) for name, rate in (("100k", 100_000), ("1m", 1_000_000), ("10m", 10_000_000))
        for rtt in (20, 300)}

# Bytes of a message there, how many times what the line carries is sent, and how long (s) what was sent may take to come.
SLOW_SIZE, SLOW_PACE, SLOW_DRAIN = 256, 4, 60


# ---------------------------------------------------------------------------------------------------
# Processes

def now():
    return time.monotonic_ns()


class Failed(Exception):
    pass


class Proc:
    """A process under measurement: its lines of output, its CPU time, its memory."""

    def __init__(self, argv, log, core=None, environ=None):
        self.argv, self.lines = argv, queue.Queue()
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1, env=environ,
                                  preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, [core]))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.p.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def wait(self, want, timeout=30):
        """The next line for which `want` gives something other than None: that something."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"nothing within {timeout} s from: {' '.join(self.argv)}")
            if line is None:
                raise Failed(f"ended early ({self.p.wait()}): {' '.join(self.argv)}")
            got = want(line)
            if got is not None:
                return got

    def line(self, word, timeout=30):
        return self.wait(lambda l: l if l.split()[:1] == [word] else None, timeout)

    def result(self, timeout=120):
        return self.wait(lambda l: json.loads(l) if l.startswith("{") else None, timeout)

    def go(self):
        self.p.stdin.write("go\n")
        self.p.stdin.flush()

    def ask(self, timeout=30):
        """What it answers to a line."""
        self.go()
        return self.result(timeout)

    def cpu(self):
        f = Path(f"/proc/{self.p.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / TICK

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.p.pid}/status").read_text())[1])

    def kill(self, how=signal.SIGKILL):
        self.p.send_signal(how)
        self.p.wait()

    def stop(self):
        try:
            self.p.stdin.close()
        except OSError:
            pass
        try:
            self.p.wait(2)
        except subprocess.TimeoutExpired:
            self.p.terminate()
            try:
                self.p.wait(2)
            except subprocess.TimeoutExpired:
                self.kill()


def free_port():
    """One that neither TCP nor UDP uses, and that no outgoing connection will be given."""
    while True:
        port = random.randrange(20000, 30000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind((HOST, port))
            return port
        except OSError:
            continue


def until(what, condition, timeout=30):
    """Waits for the condition."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def attach(pid, count):
    """Programs that do nothing, as Roles of the Node in this process of kozo-bench."""
    programs = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    for number, program in enumerate(programs):
        until(f"process {pid} takes programs", lambda: program.connect_ex(f"\0kozo-bench-{pid}-role") == 0)
        asked = [{"id": 0, "method": "attach", "params": {"name": f"idle{number}"}}, {"method": "ready"}]
        program.sendall("".join(f"{json.dumps(line)}\n" for line in asked).encode())
        answer = json.loads(program.makefile().readline())
        if "error" in answer:
            raise Failed(f"cannot attach: {answer['error']['message']}")
    return programs


class Stage:
    """One system, set up for one workload; everything it started ends with it."""

    def __init__(self, system, workload, env):
        self.s, self.workload, self.env, self.port, self.procs, self.brokers = system, workload, env, free_port(), [], []
        self.attached = []

    def __enter__(self):
        if self.s.get("broker"):
            self.start_broker()
        return self

    def __exit__(self, *_):
        for p in reversed(self.procs):
            if p.p.poll() is None:
                p.stop()
        for program in self.attached:
            program.close()

    def spawn(self, argv):
        p = Proc(argv, self.env["log"], 0 if self.workload == "latency_1core" else None, self.env["environ"])
        self.procs.append(p)
        return p

    def start_broker(self, wait=True):
        broker = self.s["broker"]
        values = dict(port=self.port, other_port=free_port(), certs=self.env["certs"], work=self.env["work"], **self.env["keys"])
        self.brokers = []
        for name, argv, text in CONFIGS[broker]:
            values["conf"] = conf = self.env["work"] / name
            conf.write_text(text.format(**values))
            self.brokers.append(self.spawn([a.format(**values) for a in argv]))
        if wait:
            until(f"{broker} listens", self.listens)
            usable = USABLE.get(broker)
            if usable:
                until(f"{broker} can be used", lambda: subprocess.run(usable, stdout=self.env["log"], stderr=self.env["log"],
                                                                      env=self.env["environ"]).returncode == 0)

    def listens(self):
        try:
            socket.create_connection((HOST, self.port), 1).close()
            return True
        except OSError:
            return False

    def connections(self, *options):
        """The TCP connections to this stage's port; with "-K", they are closed too."""
        argv = ["ss", "-tnH", *options, "state", "established", f"( sport = :{self.port} or dport = :{self.port} )"]
        text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=self.env["log"], text=True).stdout
        return {tuple(l.split()[2:4]) for l in text.splitlines()}

    def start(self, role, size=64, count=20_000, fanout=1, port=None, **more):
        """Plays a role: at this stage's port, if no other is given; with `more` options."""
        addr = f"{HOST}:{port or self.port}"
        if "roles" in self.s:
            values = dict(role=role, addr=addr, certs=self.env["certs"], size=size, count=count, fanout=fanout, **more)
            process = self.spawn([a.format(**values) for a in self.s["roles"][role]])
            self.attached += attach(process.p.pid, self.s.get("attached", 0))
            return process
        if "python" in self.s:
            name, *rest = self.s["python"].split()
            program = [self.env["python"], str(HERE / "python" / f"{name}.py")]
        else:
            name, *rest = self.s["args"].split()
            program = [str(self.env["exe"]), name]
        if self.workload.startswith("throughput"):
            rest += self.s.get("throughput_args", "").split()
        if self.workload in SLOW:
            rest += self.s["slow"].split()
        options = dict(addr=addr, certs=self.env["certs"], size=size, count=count, fanout=fanout, **more)
        return self.spawn([*program, role, *(word for k, v in options.items() for word in (f"--{k}", str(v))), *rest])


def machine():
    """CPU seconds the whole machine has spent: busy, and stolen by the host."""
    f = [int(x) / TICK for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return f[0] + f[1] + f[2] + f[5] + f[6], f[7]


class Meter:
    """CPU of our processes, and of everything else meanwhile: the noise."""

    def __init__(self, procs):
        self.procs, self.t, self.c, self.m = procs, time.monotonic(), [p.cpu() for p in procs], machine()

    def stop(self):
        own = [p.cpu() - before for p, before in zip(self.procs, self.c)]
        wall = (time.monotonic() - self.t) * os.cpu_count()
        busy, stolen = (b - a for a, b in zip(self.m, machine()))
        return own, dict(other_cpu_pct=round(max(0.0, 100 * (busy - sum(own)) / wall), 1), steal_pct=round(100 * stolen / wall, 1))


# ---------------------------------------------------------------------------------------------------
# Workloads: each gives a flat dictionary of numbers

def latency(st):
    echo = st.start("echo")
    echo.line("READY")
    ping = st.start("ping", count=20_000)
    ping.line("READY")
    m = Meter([p for p in st.procs])
    ping.go()
    r = ping.result()
    r.update(m.stop()[1])
    return r


def throughput(st, size):
    count = st.s["n"][size]
    recv = st.start("recv", size=size, count=count)
    recv.line("READY")
    send = st.start("send", size=size, count=count)
    send.line("READY")
    named = {"recv": recv, "send": send, **{f"broker{'_2' * (i > 0)}": p for i, p in enumerate(st.brokers)}}
    time.sleep(0.5)
    out = {f"rss_idle_{k}_kib": p.rss() for k, p in named.items()}
    m = Meter(list(named.values()))
    send.go()
    r = recv.result()
    send.result()
    own, noise = m.stop()
    out.update({f"rss_after_{k}_kib": p.rss() for k, p in named.items()})
    secs = (r["last_ns"] - r["first_ns"]) / 1e9
    out.update(msgs_per_s=r["received"] / secs, mb_per_s=r["received"] * size / secs / 1e6, seconds=secs,
               received=r["received"], lost=r["lost"], out_of_order=r["out_of_order"],
               cpu_s_per_million=sum(own) / r["received"] * 1e6,
               **{f"cpu_s_{k}": spent for k, spent in zip(named, own)}, **noise)
    if r["wrong_size"]:
        raise Failed(f"{r['wrong_size']} messages of the wrong size")
    return out


def fanout(st, receivers=10):
    count = st.s["fan"]
    send = None
    if not st.brokers:  # the publisher listens
        send = st.start("send", count=count, fanout=receivers)
        send.line("LISTENING")
    recvs = [st.start("recv", count=count, fanout=receivers) for _ in range(receivers)]
    for r in recvs:
        r.line("READY")
    send = send or st.start("send", count=count, fanout=receivers)
    send.line("READY")
    m = Meter(list(st.procs))
    send.go()
    rs = [r.result() for r in recvs]
    send.result()
    own, noise = m.stop()
    got = sum(r["received"] for r in rs)
    secs = (max(r["last_ns"] for r in rs) - min(r["first_ns"] for r in rs)) / 1e9
    return dict(msgs_per_s=got / secs, seconds=secs, received=got, lost=sum(r["lost"] for r in rs),
                cpu_s_per_million=sum(own) / got * 1e6, **noise)


def first(watch, t0):
    return (int(watch.line("FIRST").split()[1]) - t0) / 1e6


def settle(watch, seconds=0.5):
    time.sleep(seconds)
    while not watch.lines.empty():
        watch.lines.get()


def recovery(st):
    out = {}
    t0 = now()
    watch = st.start("watch")
    drip = st.start("drip")
    out["startup_ms"] = first(watch, t0)
    # The receiving process is killed, and started again a second (or a little more) later.
    settle(watch)
    watch.kill()
    time.sleep(1 + random.random() / 2)
    t0 = now()
    watch = st.start("watch")
    out["restart_ms"] = first(watch, t0)
    # Both ends of each TCP connection are closed by the kernel.
    if st.s.get("cut", True):
        settle(watch, 1.0)
        before, t0 = st.connections(), now()
        st.connections("-K")
        out["cut_ms"] = gap(watch, t0)
        if not before or before & st.connections():
            raise Failed("the connection was not cut")
    # The broker is killed, and started again at once.
    if st.brokers:
        settle(watch, 1.0)
        for broker in st.brokers:
            broker.kill()
        t0 = now()
        st.start_broker(wait=False)
        out["broker_restart_ms"] = gap(watch, t0, since=t0)
    return out


def gap(watch, t0, since=None):
    """The longest pause that was not over at `t0` and began before, or within 50 ms of it: its length in
    ms, or the time from `since`, when a broker was started, to its end. What ends sooner than one can start was a
    pause of the machine."""
    best, end = None, time.monotonic() + 20
    soonest = t0 if since is None else since + 5_000_000
    quiet = None
    while time.monotonic() < (quiet or end):
        try:
            line = watch.lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            raise Failed("the receiver ended")
        if line.startswith("GAP"):
            a, b = map(int, line.split()[1:])
            if b > soonest and a < t0 + 50_000_000 and (best is None or b - a > best[1] - best[0]):
                best = (a, b)
                quiet = quiet or time.monotonic() + 0.5
    if best is None:
        raise Failed("no pause was seen, or no message after it")
    return (best[1] - (since or best[0])) / 1e6


def slow(st, rate, rtt):
    """A flood through a proxy that is a slow line, in front of the receiver or the broker (or behind the broker)."""
    settle, span = st.env["settle"], st.env["time"]
    line, behind = free_port(), st.s.get("slow_side") == "recv"
    proxy = st.spawn([str(st.env["exe"]), "proxy", "--listen", f"{HOST}:{line}", "--to", f"{HOST}:{st.port}",
                      "--rate", str(rate), "--rtt", str(rtt)])
    proxy.line("READY")
    options = dict(size=SLOW_SIZE, pace=SLOW_PACE * rate // (8 * SLOW_SIZE), settle=settle, time=span)
    sink = st.start("sink", port=line if behind else st.port, **options)
    sink.line("READY", 60)
    flood = st.start("flood", port=st.port if behind else line, **options)
    flood.line("READY", 60)
    connections = proxy.ask()["connections"]
    flood.go()
    time.sleep(settle)
    m, before = Meter(list(st.procs)), proxy.ask()
    time.sleep(span)
    after, noise = proxy.ask(), m.stop()[1]
    sent = flood.result()
    came, out = account(flood, sink, sent)
    if came["age_p50_ms"] is None:
        raise Failed("nothing came in the time that is measured")
    if came["wrong_size"]:
        raise Failed(f"{came['wrong_size']} messages of the wrong size")
    out.update({f"age_{k}_ms": came[f"age_{k}_ms"] - rtt / 2 for k in ("p50", "p99", "max")})
    out.update({f"ping_{k}_ms": sent[f"ping_{k}_ms"] - rtt for k in ("p50", "p99", "max")})
    holds = rate / 8 * (after["ns"] - before["ns"]) / 1e9
    ways = ("down", "up") if behind else ("up", "down")
    out.update({name: (after[f"{way}_bytes"] - before[f"{way}_bytes"]) / holds for name, way in zip(("line_use", "back_use"), ways)})
    out.update({k: came[k] for k in ("received", "counted", "highest", "out_of_order")})
    return dict(out, sent=sent["sent"], pings=sent["pings"], ping_unanswered=sent["ping_unanswered"],
                reconnects=after["connections"] - connections, **noise)


def account(flood, sink, sent):
    """What the receiver has seen in the end, and what became of the messages that it has not, as far as the system says."""
    if "dropped" not in sent:
        return sink.ask(), {}
    end = time.monotonic() + SLOW_DRAIN
    while True:  # what is still under way comes
        sender, receiver = flood.ask(), sink.ask()
        drops = {f"dropped_{why}": n for side in (sender, receiver) for why, n in side["dropped"].items()}
        missing = sender["sent"] - receiver["received"] - sum(drops.values())
        if missing == 0 and sender["queued"] == 0 or time.monotonic() > end:
            return receiver, dict(drops, dropped=sum(drops.values()), unaccounted=missing, down=sender["sessions"] - 1)
        time.sleep(0.5)


def takes_part(system, workload):
    if "bench" in system:
        return workload in system["bench"]
    if workload in SLOW:
        return "slow" in system or "flood" in system.get("roles", {})
    return workload in system.get("only", FAST)


def run_one(system, workload, env):
    if "bench" in system:
        argv = [a.format(workload=workload, certs=env["certs"]) for a in system["bench"][workload]]
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=env["log"], text=True, timeout=300)
        return json.loads([l for l in p.stdout.splitlines() if l.startswith("{")][-1])
    with Stage(system, workload, env) as st:
        if workload.startswith("latency"):
            return latency(st)
        if workload.startswith("throughput_"):
            return throughput(st, int(workload.split("_")[1]))
        if workload == "fanout_10":
            return fanout(st)
        if workload in SLOW:
            return slow(st, *SLOW[workload])
        return recovery(st)


# ---------------------------------------------------------------------------------------------------
# Certificates, tables

def certificates(dir):
    """Makes the certificates of both sides and the broker."""
    def ssl(*a):
        subprocess.run(["openssl", *a], check=True, cwd=dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=bench authority", "-keyout", "ca.key", "-out", "ca.crt")
    (dir / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
                             "basicConstraints=critical,CA:FALSE\n")
    for who in ("a", "b", "broker"):
        ssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={who}",
            "-keyout", f"{who}.key", "-out", f"{who}.csr")
        ssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "ext", "-out", f"{who}.crt")


def openssh_keys(dir):
    """The public keys of both sides as the configuration of Kōzō has them."""
    def public(who):
        argv = ["ssh-keygen", "-y", "-f", str(dir / f"{who}.key")]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {f"key_{who}": public(who) for who in ("a", "b")}


def python_environment():
    """The interpreter that the Python clients run with; it is made first, if it is not there."""
    argv = [REPOSITORY / "tests" / "environment", HERE / "python" / "requirements.txt"]
    return Path(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()) / "bin" / "python"


def zeromq_keys(env):
    """Has a client make the keys of both sides."""
    if env["exe"]:
        argv = [env["exe"], "zmq", "keys", "--certs", env["certs"]]
    else:
        argv = [env["python"], HERE / "python" / "with_pyzmq.py", "--keys", env["certs"]]
    subprocess.run(argv, check=True)


def summary(values):
    return dict(median=round(statistics.median(values), 3), min=min(values), max=max(values), all=values)


def number(x):
    if abs(x) >= 10_000:
        return f"{x:,.0f}"
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


TABLES = [
    ("Latency: round trip of 64 bytes, one in flight, µs", [("latency", f, n, 1) for f, n in
        [("rtt_p50_us", "p50"), ("rtt_p99_us", "p99"), ("rtt_p999_us", "p99.9")]]),
    ("Latency, the same with all processes on one core (no waking of idle cores): µs", [("latency_1core", f, n, 1) for f, n in
        [("rtt_p50_us", "p50"), ("rtt_p99_us", "p99"), ("rtt_p999_us", "p99.9")]]),
    ("Throughput: one sender, one receiver", [
        ("throughput_64", "msgs_per_s", "64 B, thousand msg/s", 1e-3), ("throughput_1024", "mb_per_s", "1 KiB, MB/s", 1),
        ("throughput_16384", "mb_per_s", "16 KiB, MB/s", 1), ("fanout_10", "msgs_per_s", "1 to 10, 64 B, thousand msg/s in all", 1e-3),
        ("*", "lost", "lost, all floods", 1)]),
    ("CPU, user and system, of all processes, seconds per million messages delivered", [
        ("throughput_64", "cpu_s_per_million", "64 B", 1), ("throughput_1024", "cpu_s_per_million", "1 KiB", 1),
        ("throughput_16384", "cpu_s_per_million", "16 KiB", 1), ("fanout_10", "cpu_s_per_million", "1 to 10, 64 B", 1)]),
    ("Memory: VmRSS, MiB; idle with one connection, and after the 64-byte flood", [
        ("throughput_64", f"rss_{w}_{p}_kib", f"{p}, {w}", 1 / 1024) for p in ("recv", "send", "broker") for w in ("idle", "after")]),
    ("Starting and recovering, ms to the next message delivered", [("recovery", f, n, 1) for f, n in
        [("startup_ms", "both started"), ("restart_ms", "receiver restarted"), ("cut_ms", "connection cut"),
         ("broker_restart_ms", "broker restarted")]]),
    *((f"A flood through a slow line: {title}", [(w, field, f"{rate // 1000:,} kbit/s, {rtt} ms", scale) for w, (rate, rtt) in SLOW.items()])
      for title, field, scale in [
          ("median age on arrival beyond half the round trip, ms", "age_p50_ms", 1), ("its 99th percentile", "age_p99_ms", 1),
          ("median ping beyond the round trip, ms", "ping_p50_ms", 1), ("its 99th percentile", "ping_p99_ms", 1),
          ("use of the line, percent", "line_use", 100)]),
]


def tables(results, systems):
    out = []
    for title, columns in TABLES:
        if not any(c[0] in results[name] for name in systems for c in columns):
            continue
        out += [f"### {title}", "", "| system | " + " | ".join(c[2] for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name in systems:
            cells = []
            for workload, field, _, scale in columns:
                if workload == "*":
                    lost = [sum(w["lost"]["all"]) for w in results[name].values() if "lost" in w]
                    cells.append(f"{sum(lost):,}" if lost else "–")
                    continue
                v = results[name].get(workload, {}).get(field)
                if v is None:
                    cells.append("failed" if "errors" in results[name].get(workload, {}) else "–")
                else:
                    cells.append(f"**{number(v['median'] * scale)}** ({number(v['min'] * scale)}–{number(v['max'] * scale)})")
            out.append(f"| {systems[name]['label']} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)


def collect(raw, systems):
    results = {}
    for name in systems:
        results[name] = {}
        for workload, runs in raw[name].items():
            entry = {}
            for field in sorted({k for r in runs for k in r if k != "error"}):
                entry[field] = summary([r[field] for r in runs if r.get(field) is not None])
            errors = [r["error"] for r in runs if "error" in r]
            if errors:
                entry["errors"] = errors
            results[name][workload] = entry
    return results


def version(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.strip().split("\n")[0]
    except OSError:
        return "absent"


def packages(python):
    """The interpreter and what is installed in its environment, with versions."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "freeze"], check=True, capture_output=True, text=True).stdout
    return [version(python, "--version"), *listed.split()]


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--recovery-rounds", type=int, default=10)
    a.add_argument("--slow-rounds", type=int, default=3)
    a.add_argument("--settle", type=float, default=5, metavar="S", help="how long a flood through a slow line goes on before it is measured")
    a.add_argument("--time", type=float, default=20, metavar="S", help="how long it is measured")
    a.add_argument("--systems", default="", help="comma-separated; by default all but those in Python, and 'python' stands for these")
    a.add_argument("--workloads", default="fast,slow", help="comma-separated; 'fast' and 'slow' stand for all of the kind")
    a.add_argument("--plug", action="append", default=[], metavar="FILE.json", help="further systems")
    a.add_argument("--scale", type=float, default=1.0, help="multiplies the number of messages of the floods")
    a.add_argument("--out", help="write the JSON here, and the tables beside it (.md)")
    a = a.parse_args()

    systems = dict(SYSTEMS)
    for f in a.plug:
        for k, v in json.loads(Path(f).read_text()).items():
            if "n" in v:
                v["n"] = {int(s): c for s, c in v["n"].items()}
            systems[k] = v
    if a.systems:
        known = PYTHON | systems
        systems = {k: known[k] for name in a.systems.split(",") for k in (PYTHON if name == "python" else [name])}
    systems = copy.deepcopy(systems)
    for s in systems.values():
        for k in s.get("n", {}):
            s["n"][k] = max(1, int(s["n"][k] * a.scale))
        if "fan" in s:
            s["fan"] = max(1, int(s["fan"] * a.scale))

    names = {"fast": FAST, "slow": list(SLOW)}
    workloads = [w for name in a.workloads.split(",") for w in names.get(name, [name])]
    unknown = [w for w in workloads if w not in FAST and w not in SLOW]
    if unknown:
        sys.exit(f"no such workload: {', '.join(unknown)}; there are fast, slow, {', '.join([*FAST, *SLOW])}")
    exe = None
    # What is plugged in needs no client of ours, but the slow lines.
    if any("args" in s for s in systems.values()) or any(w in SLOW for w in workloads):
        subprocess.run(["cargo", "build", "--locked", "--release", "--quiet"], cwd=HERE,
                       env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)}, check=True)
        exe = TARGET / "release" / "peerbench"
    python = python_environment() if any("python" in s for s in systems.values()) else None
    work = Path(tempfile.mkdtemp(prefix="run-", dir=TARGET.parent))
    # Sockets of Nodes are in the scratch folder; that of the machine's bus is of no use to them.
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(work), "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent",
               "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{REPOSITORY / 'src' / 'python'}".strip(":")}
    env = dict(work=work, certs=work / "certs", exe=exe, python=python and str(python), log=open(work / "stderr.log", "w"),
               environ=environ, keys={}, settle=a.settle, time=a.time)
    env["certs"].mkdir()
    certificates(env["certs"])
    if exe or python:
        zeromq_keys(env)
    if any(s.get("broker") == "kozo" for s in systems.values()):
        env["keys"] = openssh_keys(env["certs"])

    meta = dict(date=datetime.datetime.now().isoformat(timespec="seconds"), cpus=os.cpu_count(), kernel=os.uname().release,
                cpu=next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")),
                mosquitto=version("mosquitto", "-h"), nats=version("nats-server", "--version"), redis=version("redis-server", "--version"),
                libzmq=version("pkg-config", "--modversion", "libzmq"), python=python and packages(python), rounds=a.rounds, recovery_rounds=a.recovery_rounds,
                slow_rounds=a.slow_rounds, load=[])
    raw = {k: {} for k in systems}
    for workload_group, rounds in (([w for w in workloads if w != "recovery" and w not in SLOW], a.rounds),
                                   ([w for w in workloads if w == "recovery"], a.recovery_rounds),
                                   ([w for w in workloads if w in SLOW], a.slow_rounds)):
        for r in range(rounds):
            for workload in workload_group:
                meta["load"].append(os.getloadavg()[0])
                for name, s in systems.items():
                    if not takes_part(s, workload):
                        continue
                    try:
                        got = run_one(s, workload, env)
                    except (Failed, ValueError, IndexError, KeyError, OSError, subprocess.SubprocessError) as e:
                        got = {"error": f"{type(e).__name__}: {e}"}
                    got = {k: round(v, 3) if isinstance(v, float) else v for k, v in got.items()}
                    raw[name].setdefault(workload, []).append(got)
                    brief = {k: v for k, v in got.items() if not k.startswith("rss")}
                    print(f"{datetime.datetime.now():%H:%M:%S} {workload} {r + 1}/{rounds} {name}: {json.dumps(brief)}", file=sys.stderr, flush=True)

    results = collect(raw, systems)
    text = tables(results, systems)
    document = {"meta": meta, "systems": {k: {"label": systems[k]["label"], **v} for k, v in results.items()}}
    if a.out:
        Path(a.out).write_text(json.dumps(document) + "\n")
        Path(a.out).with_suffix(".md").write_text(text)
    print(text)
    if not a.out:
        print(json.dumps(document))
    env["log"].close()
    if any("errors" in w or w.get("lost", {}).get("max") for s in results.values() for w in s.values()):
        print(f"errors or losses: see {work}/stderr.log", file=sys.stderr)
    else:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
