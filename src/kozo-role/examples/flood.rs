//! A Role to measure with: at the Order `flood`, whose data is how many, it sends as many Events `data` as fast as it can;
//! `receives: true` makes it count them instead, and send an Event `counted` with how many came in how many nanoseconds.

use std::process::ExitCode;
use std::time::Instant;

use kozo_role::serde_json::json;
use kozo_role::{Description, Draft, Failure, Pattern, Role, Setting};
use serde::Deserialize;

#[derive(Deserialize)]
struct Options {
    size: usize,
    receives: bool,
}

fn main() -> ExitCode {
    let flood = Description::new("Floods, and counts.")
        .option("size", Setting::integer("Bytes of each Message.").default(64).min(8))
        .option("receives", Setting::flag("Whether it counts.").default(false));
    Role::describe(flood).says_ready().run(async |role| {
        let options: Options = role.options()?;
        let wanted =
            if options.receives { Pattern::event("data") } else { Pattern::order("flood") };
        role.interest(&[wanted]).await?;
        role.ready().await?;
        if options.receives { count(&role).await } else { send(&role, options.size).await }
    })
}

async fn send(role: &Role, size: usize) -> Result<(), Failure> {
    while let Some(order) = role.receive().await {
        let count: u64 = order.data()?;
        let begun = Instant::now();
        let mut payload = vec![0; size];
        for number in 0..count {
            if let Some(begin) = payload.get_mut(..8) {
                begin.copy_from_slice(&number.to_le_bytes());
            }
            role.send(Draft::event("data").bytes(&payload)).await?;
        }
        role.send_confirmed(Draft::event("sent")).await?;
        let figures = json!({"count": count, "seconds": begun.elapsed().as_secs_f64()});
        role.send(Draft::event("flooded").data(&figures)).await?;
    }
    Ok(())
}

async fn count(role: &Role) -> Result<(), Failure> {
    let (mut received, mut lost, mut next) = (0_u64, 0_u64, 0_u64);
    let mut begun = Instant::now();
    while let Some(message) = role.receive().await {
        let bytes = message.bytes().unwrap_or_default();
        let number =
            bytes.get(..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        if number == 0 {
            (received, lost, next, begun) = (0, 0, 0, Instant::now());
        }
        lost += number - next.min(number);
        next = number + 1;
        received += 1;
        if received.is_multiple_of(100_000) {
            let figures = json!({"received": received, "lost": lost, "seconds": begun.elapsed().as_secs_f64()});
            role.send(Draft::event("counted").data(&figures)).await?;
        }
    }
    Ok(())
}
