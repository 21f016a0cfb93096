//! The man pages: `kozoctl(1)` and one for each command, `kozo(8)`, and `kozo.yml(5)`.
//!
//! Those of programs come from the definitions of their command lines, that of the configuration from the
//! tables by which it is checked. Nothing is written twice, so nothing can disagree.

mod texts;

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use kozo_core::config::{LONGEST_NAME, OptionKind, OptionSpec, Presence, Schema, tables};
use kozo_core::places::CONFIG;
use kozo_core::types;
use serde_json::json;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// The name of the collection of pages.
const MANUAL: &str = "Kōzō";

/// Writes all pages into the folder, which is made if it is not there, and says which.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write(folder: &Path, output: Output) -> Result<(), Failure> {
    let unwritten = |error: std::io::Error| {
        Failure::failed(format_args!("cannot write into {}: {error}", folder.display()))
    };
    fs::create_dir_all(folder).map_err(unwritten)?;
    let mut pages = Vec::new();
    for (mut command, section) in
        [(Cli::command(), "1"), (kozo_arguments::Arguments::command(), "8")]
    {
        command.build();
        programs(&command, section, &mut pages);
    }
    pages.push(("kozo.yml.5".to_owned(), configuration().into_bytes()));
    for (name, text) in &pages {
        fs::write(folder.join(name), text).map_err(unwritten)?;
    }
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    Ok(output.answer(&json!({ "pages": names }), &names.join("\n"))?)
}

/// A page for the command and each of those below it.
fn programs(command: &clap::Command, section: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    // Writing to memory cannot fail.
    pages.extend(page(command.clone(), section));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        programs(below, section, pages);
    }
}

fn page(command: clap::Command, section: &str) -> std::io::Result<(String, Vec<u8>)> {
    let source = format!("kozo {}", env!("CARGO_PKG_VERSION"));
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let has_subcommands = command.get_subcommands().any(|below| !below.is_hide_set());
    let more = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command).section(section).source(source).manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(besides(&name, section, more.as_deref()).to_roff().into_bytes());
    Ok((man.get_filename(), text))
}

/// What a page of a program says that its `--help` does not, or says in passing.
fn besides(name: &str, section: &str, more: Option<&str>) -> Roff {
    let mut page = Roff::new();
    match name {
        "kozoctl" => {
            entries(&mut page, "JSON", texts::JSON);
            entries(&mut page, "EXIT STATUS", texts::EXIT_OF_KOZOCTL);
            entries(&mut page, "ENVIRONMENT", texts::ENVIRONMENT_OF_KOZOCTL);
            entries(&mut page, "FILES", texts::FILES_OF_KOZOCTL);
        }
        "kozo" => {
            entries(&mut page, "EXIT STATUS", texts::EXIT_OF_KOZO);
            entries(&mut page, "ENVIRONMENT", texts::ENVIRONMENT_OF_KOZO);
            entries(&mut page, "FILES", texts::FILES_OF_KOZO);
        }
        _ => {
            if let Some(more) = more {
                page.control("SH", ["DATA"]);
                page.text([roman(more)]);
            }
            page.control("SH", ["EXIT STATUS"]);
            let whole = name.split('-').next().unwrap_or(name).to_owned();
            page.text([roman("As of "), bold(whole), roman(format!("({section})."))]);
        }
    }
    let examples = texts::examples(name);
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
    }
    for (what, line) in examples {
        page.control("PP", []);
        page.text([roman(format!("{what}:"))]);
        page.control("PP", []);
        page.control("EX", []);
        for line in line.lines() {
            page.text([roman(format!("    {line}"))]);
        }
        page.control("EE", []);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("kozoctl"),
        roman("(1), "),
        bold("kozo.yml"),
        roman("(5), "),
        bold("kozo-role"),
        roman("(7), "),
        bold("kozo-transport"),
        roman("(7), "),
        bold("kozo"),
        roman("(8)"),
    ]);
    page
}

/// A section of terms and what they mean.
fn entries(page: &mut Roff, title: &str, entries: &[texts::Entry]) {
    page.control("SH", [title]);
    for (term, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// The page of the configuration.
fn configuration() -> String {
    let mut page = Roff::new();
    let source = format!("kozo {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["kozo.yml", "5", "", &source, MANUAL]);
    // Names of ciphers cannot be spread over a line, or broken.
    page.control("ad", ["l"]);
    page.control("SH", ["NAME"]);
    page.text([roman("kozo.yml - the configuration of a Kōzō System")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        italic(CONFIG),
        roman(
            " describes a whole System: its Nodes, their keys, Roles and Transports. It is the \
             same on all of its machines. It is YAML, indented by spaces. Durations are seconds \
             or have a unit (500ms, 30s, 5min, 2h, 1d), sizes are bytes or have one (64KiB, \
             4MiB). ",
        ),
        roman(format!(
            "Names have at most {LONGEST_NAME} bytes; those of Nodes consist of letters, digits, \
             '-', '_' and '.'. "
        )),
        bold("kozoctl config check"),
        roman(" finds its mistakes, "),
        bold("kozoctl config show"),
        roman(" shows what it means, and "),
        bold("kozoctl config new"),
        roman(" writes one to begin with."),
    ]);
    section(&mut page, "THE TOP LEVEL", None, tables::root());
    section(&mut page, "EVERY NODE", Some("In the block system, by name."), tables::node());
    let roles = "In the block roles of a Node, by name, besides the options of their types.";
    section(&mut page, "EVERY ROLE", Some(roles), tables::every_role());
    let transports =
        "In the block transports of a Node, by name, besides the options of their types.";
    section(&mut page, "EVERY TRANSPORT", Some(transports), tables::every_transport());
    let registry = types::built_in();
    registry.roles.iter().for_each(|schema| of_type(&mut page, "ROLES OF TYPE", schema));
    registry.transports.iter().for_each(|schema| of_type(&mut page, "TRANSPORTS OF TYPE", schema));
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    page.text([roman(EXAMPLE)]);
    page.control("fi", []);
    page.control("SH", ["FILES"]);
    page.control("TP", []);
    page.text([bold(CONFIG)]);
    page.text([roman("The configuration of the Nodes that systemd runs.")]);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("kozoctl"), roman("(1), "), bold("kozo"), roman("(8)")]);
    page.to_roff()
}

const EXAMPLE: &str = "\
system:
    clock:
        privateKey: /etc/kozo/keys/clock
        publicKey: ssh-ed25519 AAAA…
        roles:
            timer1:
                type: timer
                tick: 60
        transports:
            tcp:
                address: clock.local, 10.13.37.2";

fn of_type(page: &mut Roff, what: &str, schema: &Schema) {
    let title = format!("{what} {}", schema.name);
    section(page, &title, Some(&schema.summary()), &schema.options);
}

fn section(page: &mut Roff, title: &str, about: Option<&str>, options: &[OptionSpec]) {
    page.control("SH", [title]);
    if let Some(about) = about {
        page.text(prose(about));
    }
    for option in options {
        page.control("TP", []);
        page.text([bold(&*option.name)]);
        page.text(described(option));
    }
}

fn described(option: &OptionSpec) -> Vec<Inline> {
    let mut text = prose(&option.description);
    if option.kind != OptionKind::Block {
        let allowed = option.kind.allowed().replace('`', "'");
        text.push(roman(format!(" Allowed: {allowed}.")));
    }
    match &option.presence {
        Presence::Required => text.push(roman(" Required.")),
        Presence::Optional => {}
        Presence::Default(value) => {
            let value = value.to_string();
            // Its description says what it means that there is none.
            if !value.is_empty() {
                text.extend([roman(" Default: "), bold(value), roman(".")]);
            }
        }
    }
    text
}

/// A text in which what is to be written as it is stands between backticks.
fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { roman(part) } else { bold(part) }).collect()
}
