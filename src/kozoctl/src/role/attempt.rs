//! `kozoctl role try`: runs a file as a Role of a Node that runs, without a word in its configuration.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kozo_core::config::programs::{Description, Encoding, TypeKind, find};
use kozo_core::config::{OptionSpec, Presence};
use kozo_core::value::show::one_line;
use serde_json::{Map, Value};

use crate::attach::Introduction;
use crate::failure::Failure;
use crate::output::say;

/// What the file is to be introduced as, and how to run it. It is asked what it is, unless a file beside it says that.
///
/// # Errors
/// When it cannot be run, describes itself badly, or has no such option.
pub(crate) fn introduce(
    file: &Path,
    name: Option<&str>,
    settings: &[(String, String)],
) -> Result<(Introduction, Vec<OsString>), Failure> {
    let unreadable = |error| Failure::failed(format_args!("{}: {error}", file.display()));
    let path = fs::canonicalize(file).map_err(unreadable)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut more = Map::new();
    more.insert("type".to_owned(), stem.clone().into());
    let mut options = Map::new();
    match description(&path, &stem)? {
        Some(description) => {
            let specs = &description.schema.options;
            let given = |name: &str| settings.iter().any(|(option, _)| option == name);
            for spec in specs {
                match &spec.presence {
                    Presence::Default(value) => {
                        options.insert(spec.name.to_string(), value.to_json());
                    }
                    Presence::Required if !given(&spec.name) => {
                        let told = format_args!(
                            "the option '{}' is required: {}",
                            spec.name, spec.description
                        );
                        return Err(Failure::usage(told)
                            .hint(format!("Example: --set {}=VALUE", spec.name)));
                    }
                    Presence::Required | Presence::Optional => {}
                }
            }
            for (option, text) in settings {
                options.insert(option.clone(), setting(specs, option, text)?);
            }
            if let Some(interest) = &description.interest {
                more.insert(
                    "interest".to_owned(),
                    interest.iter().map(|interest| interest.to_json()).collect(),
                );
            }
            if description.encoding == Encoding::MessagePack {
                more.insert("encoding".to_owned(), "msgpack".into());
            }
        }
        None => {
            for (option, text) in settings {
                let value = serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
                options.insert(option.clone(), value);
            }
        }
    }
    more.insert("options".to_owned(), options.into());
    let introduction = Introduction { name: name.unwrap_or(&stem).to_owned(), more };
    Ok((introduction, find::command(&path)))
}

/// What a program is told of an option that is given so.
fn setting(specs: &[OptionSpec], option: &str, text: &str) -> Result<Value, Failure> {
    let Some(spec) = specs.iter().find(|spec| spec.name == option) else {
        let names: Vec<_> = specs.iter().map(|spec| &*spec.name).collect();
        let failure = Failure::usage(format_args!("unknown option '{option}'"));
        return Err(match names.is_empty() {
            true => failure.hint("It has no options."),
            false => {
                failure.meant(option, &names).hint(format!("Its options: {}", names.join(", ")))
            }
        });
    };
    let value = spec.kind.read(text).ok_or_else(|| {
        Failure::usage(format_args!("'{text}' is not a value for the option '{option}'"))
            .hint(format!("Allowed: {}", spec.kind.allowed()))
    })?;
    Ok(value.to_json())
}

/// What it says of itself, if it does.
fn description(path: &Path, type_name: &str) -> Result<Option<Description>, Failure> {
    let beside: PathBuf = path.with_extension("json");
    let (text, source) = match fs::read_to_string(&beside) {
        Ok(text) => (text, beside.display().to_string()),
        Err(_) => {
            let mut words = find::command(path).into_iter();
            let program = words.next().unwrap_or_default();
            let mut command = Command::new(program);
            let ran = command.args(words).arg("--describe").stdin(Stdio::null()).output();
            let ran = ran.map_err(|error| cannot_run(path, &error))?;
            if !ran.status.success() || ran.stdout.is_empty() {
                say_why_there_is_none(path, &ran.stderr);
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&ran.stdout).into_owned();
            (text, format!("{} --describe", path.display()))
        }
    };
    let bad = |problem| {
        Failure::failed(format_args!("the description by {source} is wrong: {problem}"))
            .hint("kozo-role(7) says what a description is.")
    };
    Description::read(TypeKind::Role, type_name, &text).map(Some).map_err(bad)
}

/// Tells what it means that a program does not describe itself, and the end of what it said instead.
fn say_why_there_is_none(path: &Path, stderr: &[u8]) {
    let shown = path.display();
    say(&format!("{shown} has no description: its options are passed on unchecked"));
    let text = String::from_utf8_lossy(stderr);
    if let Some(last) = text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        say(&format!("  `{shown} --describe` said: {}", one_line(last)));
    }
}

fn cannot_run(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::failed(format_args!("cannot run {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failure.hint(format!("Make it executable: chmod +x {}", path.display()))
        }
        _ => failure,
    }
}
