//! `kozoctl`, the command line client of Kōzō.
//!
//! It finds the Nodes that run on this machine and drives them over their control plane, all of
//! which is in `kozo-client`; here is what people see. `cli` is the whole command line as data, `failure` what
//! can go wrong and the exit codes, `output` and `table` how answers are written. Each command has a
//! module; `view` has those that only show something.

mod again;
mod arguments;
mod attach;
mod bench;
mod cli;
mod complete;
mod config;
mod data;
mod failure;
mod host;
mod inject;
mod monitor;
mod node;
mod output;
mod pages;
mod ping;
mod role;
mod shell;
mod table;
mod types;
mod view;
mod wait;
mod watch;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use kozo_client::Client;
use serde_json::json;

use attach::Door;
use cli::{Cli, Command, PeerAction, RoleAction, RoleCommand, Watch};
use failure::{Exit, Failure};
use output::Output;
use role::new::Language;
use view::View;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if complete::answer(&arguments) {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let told = error.print();
            inject::example(&error).map(output::say);
            return match (error.use_stderr(), told) {
                (true, _) => ExitCode::from(Exit::Usage as u8),
                (false, Ok(())) => ExitCode::SUCCESS,
                (false, Err(error)) => Failure::from(error).report(),
            };
        }
    };
    let result = cli.complete().and_then(|cli| run_where_it_belongs(cli, arguments));
    result.unwrap_or_else(Failure::report)
}

/// Runs the command here, or on the hosts that are named.
fn run_where_it_belongs(mut cli: Cli, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    match cli.global.host.as_slice() {
        [] => run(cli).map(|()| ExitCode::SUCCESS),
        [_, _, ..] if cli.command.as_mut().is_some_and(is_endless) => {
            Err(Failure::usage("a command that runs until Ctrl-C takes one host only"))
        }
        // The program is to run here, and only the Node is over there.
        [host]
            if let Some(Command::Attach(command)) = &cli.command
                && !command.program.is_empty() =>
        {
            let node = cli.global.node.as_deref();
            let introduction = attach::Introduction::new(command)?;
            attach::run_remotely(host, node, &introduction, &command.program)
        }
        hosts => {
            let output = Output::new(cli.global.json);
            host::run(hosts, arguments.into_iter().skip(1).collect(), output)
        }
    }
}

/// Whether the command runs until it is interrupted.
fn is_endless(command: &mut Command) -> bool {
    match command {
        Command::Monitor(monitor) => monitor.count.is_none(),
        Command::Attach(_) => true,
        command => command.watch().is_some_and(|watch| watch.watch),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output::new(cli.global.json);
    let node = cli.global.node.as_deref();
    match cli.command.unwrap_or(Command::Status { watch: Watch::default() }) {
        Command::Config(command) => config::run(&command, node, output),
        Command::Keygen { file, comment } => config::keygen(&file, &comment, output),
        Command::Completion { shell, program } => complete::script(shell, program, output),
        Command::Man { folder } => pages::write(&folder, output),
        Command::Types { name, file } => types::run(name.as_deref(), &file, output),
        Command::Role { command: Some(RoleCommand::New { name, python, .. }), .. } => {
            let language = if python { Language::Python } else { Language::Shell };
            role::new::run(&name, language, output)
        }
        Command::Role { command: Some(RoleCommand::Try { file, name, set }), .. } => {
            let settings: Vec<_> = set.into_iter().map(|set| (set.option, set.value)).collect();
            let (node, door, it, program) = block_on(async {
                let client = node::connect(node).await?;
                let (it, program) = role::attempt::introduce(&file, name.as_deref(), &settings)?;
                // Then there is not much time left to say who it is.
                Ok::<_, Failure>((
                    client.node().to_owned(),
                    Door::open(&client).await?,
                    it,
                    program,
                ))
            })??;
            let stream = attach::attach(door, &it)?;
            let role = &it.name;
            output::say(&format!("attached to node '{node}' as role '{role}'; Ctrl-C ends it"));
            attach::run(stream, &it, &program)
        }
        Command::Attach(command) => {
            let it = attach::Introduction::new(&command)?;
            let door = block_on(async { Door::open(&node::connect(node).await?).await })??;
            attach::run(attach::attach(door, &it)?, &it, &command.program)
        }
        command => block_on(drive(command, node, output))?,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::failed)?;
    let result = runtime.block_on(future);
    // Nothing that still waits is to keep the program.
    runtime.shutdown_background();
    Ok(result)
}

/// Runs a command that needs a Node.
async fn drive(command: Command, node: Option<&str>, output: Output) -> Result<(), Failure> {
    // What is wrong with the command itself is said without a Node too.
    let command = match command {
        Command::Inject(command) => {
            let message = inject::Message::new(command, io::stdin())?;
            return inject::run(&node::connect(node).await?, message, output).await;
        }
        command => command,
    };
    let client = node::connect(node).await?;
    match command {
        Command::Status { watch } => watch::show(&client, View::Node, watch, output).await,
        Command::Roles { watch } => watch::show(&client, View::Roles, watch, output).await,
        Command::Peers { watch } => watch::show(&client, View::Peers, watch, output).await,
        Command::Role { name: Some(name), action: None, watch, .. } => {
            watch::show(&client, View::Role(name), watch, output).await
        }
        Command::Peer { name, action: None, watch } => {
            watch::show(&client, View::Peer(name), watch, output).await
        }
        Command::Role { name: Some(name), action: Some(action), .. } => {
            act_on_role(&client, &name, action).await?;
            match watch::show(&client, View::Role(name.clone()), Watch::default(), output).await {
                // One that has attached itself is gone once it has stopped.
                Err(Failure::Told { exit: Exit::Unknown, .. }) if action == RoleAction::Stop => {
                    let text = format!("the role '{name}' was attached by a program; it has been removed");
                    Ok(output.answer(&json!({"name": name, "state": "stopped"}), &text)?)
                }
                shown => shown,
            }
        }
        Command::Peer { name, action: Some(action), .. } => {
            act_on_peer(&client, &name, action).await?;
            watch::show(&client, View::Peer(name), Watch::default(), output).await
        }
        Command::Monitor(command) => monitor::run(&client, command, output).await,
        Command::Wait { conditions, timeout } => {
            wait::run(&client, &conditions, timeout, output).await
        }
        Command::Ping { peer, count } => ping::run(&client, &peer, count, output).await,
        Command::Bench { peer, time } => bench::run(&client, &peer, time, output).await,
        Command::Reload => reload(&client, output).await,
        Command::Inject(_)
        | Command::Attach(_)
        // A subcommand of it was run already.
        | Command::Role { name: None, .. }
        | Command::Types { .. }
        | Command::Config(_)
        | Command::Keygen { .. }
        | Command::Completion { .. }
        | Command::Man { .. } => Ok(()),
    }
}

async fn act_on_role(client: &Client, name: &str, action: RoleAction) -> Result<(), Failure> {
    let role = client.role(name);
    let done = match action {
        RoleAction::Start => role.start().await,
        RoleAction::Stop => role.stop().await,
        RoleAction::Restart => role.restart().await,
    };
    node::named(client, name, done).await
}

async fn act_on_peer(client: &Client, name: &str, action: PeerAction) -> Result<(), Failure> {
    let peer = client.peer(name);
    let done = match action {
        PeerAction::Connect => peer.connect().await,
        PeerAction::Disconnect => peer.disconnect().await,
    };
    node::named(client, name, done).await
}

async fn reload(client: &Client, output: Output) -> Result<(), Failure> {
    let touched = client.reload().await?;
    let parts =
        [("roles", &touched.roles), ("peers", &touched.peers), ("transports", &touched.transports)];
    let answer = json!({
        "roles": touched.roles, "peers": touched.peers, "transports": touched.transports,
    });
    let changed: Vec<_> = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    let text = match changed.as_slice() {
        [] => "nothing has changed".to_owned(),
        changed => format!("changed {}", changed.join("; ")),
    };
    Ok(output.answer(&answer, &text)?)
}
