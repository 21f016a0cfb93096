//! The command line of a program.

use serde_json::Value;

/// What a program is started for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// To say what it is.
    Describe,
    /// To say how it is used.
    Help,
    /// To work.
    Run(ByHand),
}

/// What a person who starts it may say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ByHand {
    /// The Node to attach to: its name, or a path.
    pub(crate) node: Option<String>,
    /// The name of the Role.
    pub(crate) name: Option<String>,
    /// Options and their values.
    pub(crate) options: Vec<(String, String)>,
}

/// Reads a command line, without the program's own name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Invocation, String> {
    let mut by_hand = ByHand::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=').filter(|_| argument.starts_with("--")) {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || {
            value
                .clone()
                .or_else(|| arguments.next())
                .ok_or_else(|| format!("{name} takes a value"))
        };
        match name.as_str() {
            "--describe" => return Ok(Invocation::Describe),
            "--help" | "-h" => return Ok(Invocation::Help),
            "--node" => by_hand.node = Some(value()?),
            "--name" => by_hand.name = Some(value()?),
            "--set" => {
                let said = value()?;
                let (option, text) = said.split_once('=').ok_or("--set takes OPTION=VALUE")?;
                by_hand.options.push((option.to_owned(), text.to_owned()));
            }
            other => return Err(format!("unknown argument {other}: see --help")),
        }
    }
    Ok(Invocation::Run(by_hand))
}

/// What `--help` prints: `usage` are lines of the kind of program.
pub(crate) fn help(description: &Value, usage: &str) -> String {
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut lines = vec![text(description, "description"), String::new(), usage.to_owned()];
    let options = description.get("config").and_then(Value::as_object);
    for (number, (name, said)) in options.into_iter().flatten().enumerate() {
        if number == 0 {
            lines.extend([String::new(), "Options in the configuration:".to_owned()]);
        }
        let default = match said.get("default") {
            None => " (required)".to_owned(),
            Some(Value::Null) => String::new(),
            Some(default) => format!(" (default {default})"),
        };
        lines.push(format!("  {name}{default}: {}", text(said, "description")));
    }
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Description, Setting};

    fn told(words: &[&str]) -> Result<Invocation, String> {
        read(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_command_line_is_understood_in_both_spellings() {
        let wanted = ByHand {
            node: Some("clock".to_owned()),
            name: Some("bell".to_owned()),
            options: vec![("sound".to_owned(), "a=b".to_owned())],
        };
        let wanted = Ok(Invocation::Run(wanted));
        assert_eq!(told(&["--node", "clock", "--name=bell", "--set", "sound=a=b"]), wanted);
        assert_eq!(told(&["--node=clock", "--name", "bell", "--set=sound=a=b"]), wanted);
        assert_eq!(told(&["--describe"]), Ok(Invocation::Describe));
        assert_eq!(told(&["--name"]), Err("--name takes a value".to_owned()));
        assert_eq!(told(&["--set", "a"]), Err("--set takes OPTION=VALUE".to_owned()));
        assert_eq!(told(&["ring"]), Err("unknown argument ring: see --help".to_owned()));
    }

    #[test]
    fn help_lists_the_options() {
        let bell = Description::new("Rings.")
            .option("loud", Setting::flag("Whether it is loud.").default(false))
            .option("pin", Setting::integer("Where it is."));
        let wanted = "Rings.\n\nUsage: bell\n\nOptions in the configuration:\n  \
                      loud (default false): Whether it is loud.\n  pin (required): Where it is.";
        assert_eq!(help(&bell.to_json(), "Usage: bell"), wanted);
    }
}
