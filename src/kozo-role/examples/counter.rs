//! A Role that counts Orders, keeps the count over restarts, and answers with it: options, storage, status and the journal.

use std::process::ExitCode;

use kozo_role::{Description, Draft, Level, Pattern, Role, Setting};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Options {
    step: u64,
    limit: u64,
}

#[derive(Default, Deserialize, Serialize)]
struct Count {
    orders: u64,
}

fn main() -> ExitCode {
    let counter = Description::new("Counts Orders.")
        .option("step", Setting::integer("How much each counts.").default(1).min(1))
        .option("limit", Setting::integer("The count at which it fails.").default(1000))
        .interest(Pattern::order("count"))
        .needs_storage();
    Role::describe(counter).says_ready().run(async |role| {
        let options: Options = role.options()?;
        let mut count: Count = role.stored()?.unwrap_or_default();
        role.ready().await?;
        while let Some(message) = role.receive().await {
            count.orders += options.step;
            if count.orders > options.limit {
                return Err(format!("it has counted to {}", options.limit).into());
            }
            role.store(&count).await?;
            role.status(&format!("{} orders", count.orders)).await?;
            let sent = role
                .send_confirmed(
                    Draft::reply("counted").channel(message.channel()).data(&count.orders),
                )
                .await?;
            role.log(Level::Info, &format!("{} roles know of {}", sent.roles, count.orders))
                .await?;
        }
        println!("counted {}", count.orders);
        Ok(())
    })
}
