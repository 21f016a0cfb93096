//! `kozoctl role new`: writes a program that works as a Role, for people to change.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Shell,
    Python,
}

const SHELL: &str = include_str!("skeleton.sh");
const PYTHON: &str = include_str!("skeleton.py");

/// Writes the file, in this folder, and says what to do with it.
///
/// # Errors
/// When the name is none, or the file is there already.
pub(crate) fn run(name: &str, language: Language, output: Output) -> Result<(), Failure> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(sound) {
        let told =
            format_args!("'{name}' is not a valid type name: use letters, digits, '-' and '_'");
        return Err(Failure::usage(told));
    }
    let (extension, text) = match language {
        Language::Shell => ("sh", SHELL),
        Language::Python => ("py", PYTHON),
    };
    let path = PathBuf::from(format!("{name}.{extension}"));
    let failed = |error| Failure::failed(format_args!("cannot write {}: {error}", path.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
    let text = text.replace("NAME", name);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    let shown = path.display();
    let told = format!(
        "{shown} is a Role that answers the order `{name}`.\n\
         Try it:     kozoctl role try {shown}\n\
         In another terminal:  kozoctl inject order {name}\n\
         Keep it:    put it into a folder of `rolePath`, and give a Node a Role of type `{name}`"
    );
    Ok(output.answer(&json!({"file": path}), &told)?)
}
