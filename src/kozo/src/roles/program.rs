//! Roles that are programs: the Node starts one for each, and speaks with it over its standard input and output.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use crate::BoxFuture;
use crate::config::programs::find;
use crate::config::{Options, ProgramConfig, RoleConfig, Schema};
use crate::interest::Interest;
use crate::process::{Exit, Launch, Limits, Process};
use crate::role::conversation::{self, LineBudget, Start};
use crate::role::{Role, RoleContext, RoleError, RoleType};

/// How long what a program has said may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A type that is a program.
pub struct ProgramType {
    config: ProgramConfig,
    lines: LineBudget,
}

impl ProgramType {
    /// A Role's own program, whose long lines count with those of all others.
    pub fn new(config: ProgramConfig, lines: LineBudget) -> ProgramType {
        ProgramType { config, lines }
    }
}

impl RoleType for ProgramType {
    fn schema(&self) -> Schema {
        self.config.program.description.schema.clone()
    }

    fn interests(&self, _config: &RoleConfig) -> Vec<Interest> {
        self.config.program.description.interest.clone().unwrap_or_default()
    }

    fn says_running(&self) -> bool {
        true
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        Box::new(ProgramRole {
            config: self.config.clone(),
            role_type: config.role_type.clone(),
            options: config.options.clone(),
            lines: self.lines.clone(),
        })
    }
}

struct ProgramRole {
    config: ProgramConfig,
    role_type: String,
    options: Options,
    lines: LineBudget,
}

impl Role for ProgramRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move { self.go(&context).await })
    }
}

impl ProgramRole {
    async fn go(&self, context: &RoleContext) -> Result<(), RoleError> {
        let mut process = context
            .launcher()
            .start(&self.launch(), Stdio::piped(), Stdio::piped())
            .map_err(|error| RoleError(error.to_string()))?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(RoleError("the program has no input and output".to_owned()));
        };
        let _shown = context.show_process(process.pid());
        let start = Start { role_type: self.role_type.clone(), options: self.options.to_json() };
        let encoding = self.config.program.description.encoding.into();
        let said = conversation::converse(context, start, encoding, &self.lines, stdout, stdin);
        let mut said = pin!(said);
        // Whichever comes first: it has said its last, or it has ended, or is made to.
        let said = tokio::select! {
            said = &mut said => said,
            _ = end(&mut process, context) => {
                // What it said before counts, unless something else has its output and keeps it open.
                timeout(LAST_WORDS, said).await.unwrap_or(Ok(()))
            }
        };
        // One that has closed its output is to end; one that has said nonsense is not waited for.
        let exit = match &said {
            Ok(()) => process.stop().await,
            Err(_) => process.terminate().await,
        };
        context.set_exit(&exit.to_string());
        if *context.stop.borrow() {
            return Ok(());
        }
        match said {
            // What it was about to say when it crashed does not say why.
            Err(_) if exit.is_crash() => Err(RoleError(exit.as_failure(&process.last_line()))),
            Err(said) => Err(said),
            Ok(()) if exit.is_success() => Ok(()),
            Ok(()) => Err(RoleError(exit.as_failure(&process.last_line()))),
        }
    }

    fn launch(&self) -> Launch {
        let environment = self.config.environment.iter();
        Launch {
            environment: environment.map(|(name, text)| (name.into(), text.into())).collect(),
            limits: Limits { memory: self.config.memory_limit, ..Limits::default() },
            ..Launch::of(find::command(&self.config.program.path))
        }
    }
}

/// Returns when the program has ended: by itself, or because the Role is to stop.
async fn end(process: &mut Process, context: &RoleContext) -> Exit {
    tokio::select! {
        exit = process.wait() => return exit,
        () = context.stopped() => {}
    }
    process.stop().await
}
