//! A Role that rings a bell whenever it is ordered to, and says so.

use std::process::ExitCode;

use kozo_role::{Description, Draft, Pattern, Role};

fn main() -> ExitCode {
    let bell = Description::new("Rings a bell.").interest(Pattern::order("ring"));
    Role::describe(bell).run(async |role| {
        while let Some(message) = role.receive().await {
            println!("ding dong");
            role.send(Draft::event("rung").channel(message.channel()).data_of(&message)).await?;
        }
        Ok(())
    })
}
