//! The man pages: `kozoctl(1)` and one for each command, `kozo(8)`, and `kozo.yml(5)`.
//!
//! Those of programs come from the definitions of their command lines, that of the configuration from the
//! tables by which it is checked. Nothing is written twice, so nothing can disagree.

mod texts;

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap::builder::StyledStr;
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

/// The pages that lead to all others, and their sections.
const PAGES: [(&str, &str); 6] = [
    ("kozoctl", "1"),
    ("kozo.yml", "5"),
    ("kozo-role", "7"),
    ("kozo-transport", "7"),
    ("kozo", "8"),
    ("kozo-generator", "8"),
];

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
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let has_subcommands = command.get_subcommands().any(|below| !below.is_hide_set());
    let more = command.get_after_help().map(ToString::to_string);
    let mut head = Roff::new();
    title(&mut head, &name, section);
    summary(&mut head, &name, &command);
    let man = Man::new(in_sentences(command)).section(section);
    let mut text = head.to_roff().into_bytes();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(besides(&name, section, more.as_deref()).to_roff().into_bytes());
    Ok((man.get_filename(), literally(&String::from_utf8_lossy(&text)).into_bytes()))
}

/// The title of a page, and how its lines are filled.
fn title(page: &mut Roff, name: &str, section: &str) {
    let source = format!("kozo {}", env!("CARGO_PKG_VERSION"));
    // There is no date. Quotes stand for it, as an empty argument would be left out.
    page.control("TH", [name, section, "\"\"", &source, MANUAL]);
    // Names and commands cannot be spread over a line, or broken.
    page.control("ad", ["l"]);
    page.control("nh", []);
}

/// The section NAME: one line, as apropos(1) shows it.
fn summary(page: &mut Roff, name: &str, command: &clap::Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut letters = about.split(". ").next().unwrap_or_default().chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    let about: String = first.chain(letters).collect();
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {about}"))]);
}

/// The command with the usage that its `--help` shows, and its texts as sentences.
fn in_sentences(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let about = sentences(command.get_long_about(), command.get_about());
    command
        .override_usage(usage)
        .long_about(about)
        .mut_args(|arg| {
            let help = sentences(arg.get_long_help(), arg.get_help());
            arg.long_help(help)
        })
        .mut_subcommands(|below| {
            let about = sentences(None, below.get_about());
            below.about(about)
        })
}

/// The long text, or the short one with the full stop that clap has taken away.
fn sentences(long: Option<&StyledStr>, short: Option<&StyledStr>) -> String {
    match (long, short) {
        (Some(long), _) => long.to_string(),
        (None, Some(short)) => format!("{short}."),
        (None, None) => String::new(),
    }
}

/// The page with what stands between backticks in bold.
fn literally(page: &str) -> String {
    let parts = page.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { format!("\\fB{part}\\fR") })
        .collect()
}

/// What a page of a program says that its `--help` does not, or says in passing.
fn besides(name: &str, section: &str, more: Option<&str>) -> Roff {
    let mut page = Roff::new();
    match name {
        "kozoctl" => {
            page.control("SH", ["JSON"]);
            page.text([roman("The answers to "), bold("--json"), roman(" have these fields:")]);
            terms(&mut page, texts::JSON);
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
            page.text([roman("See "), bold(whole), roman(format!("({section})."))]);
        }
    }
    let examples = texts::examples(name);
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
    }
    for (index, (what, line)) in examples.iter().enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        page.text([roman(format!("{what}:"))]);
        page.control("PP", []);
        page.control("EX", []);
        for line in line.lines() {
            page.text([roman(format!("    {line}"))]);
        }
        page.control("EE", []);
        // It lets words be broken again.
        page.control("nh", []);
    }
    see_also(&mut page, name);
    page
}

/// A section of terms and what they mean.
fn entries(page: &mut Roff, title: &str, entries: &[texts::Entry]) {
    page.control("SH", [title]);
    terms(page, entries);
}

fn terms(page: &mut Roff, terms: &[texts::Entry]) {
    for (term, meaning) in terms {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// The section that leads from this page to the others.
fn see_also(page: &mut Roff, this: &str) {
    let mut others = Vec::new();
    for (name, section) in PAGES.iter().filter(|(name, _)| *name != this) {
        if !others.is_empty() {
            others.push(roman(", "));
        }
        others.extend([bold(*name), roman(format!("({section})"))]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text(others);
}

/// The page of the configuration.
fn configuration() -> String {
    let mut page = Roff::new();
    title(&mut page, "kozo.yml", "5");
    page.control("SH", ["NAME"]);
    page.text([roman("kozo.yml - the configuration of a Kōzō System")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        italic(CONFIG),
        roman(
            " describes a whole System: its Nodes, their keys, Roles and Transports. All of its \
             machines can have the same file. It is YAML, indented with spaces. Durations are \
             seconds or have a unit (500ms, 30s, 5min, 2h, 1d), sizes are bytes or have a unit \
             (64KiB, 4MiB). ",
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
    section(&mut page, "EVERY NODE", Some(NODE), tables::node());
    let roles = "In the block roles of a Node, by name, besides the options of their types.";
    section(&mut page, "EVERY ROLE", Some(roles), tables::every_role());
    let transports =
        "In the block transports of a Node, by name, besides the options of their types.";
    section(&mut page, "EVERY TRANSPORT", Some(transports), tables::every_transport());
    let program = "In the block of a Role or Transport whose type is not built in, besides its other options.";
    section(&mut page, "EVERY PROGRAM", Some(program), tables::every_program());
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
    see_also(&mut page, "kozo.yml");
    page.to_roff()
}

const NODE: &str = "In the block system, by name. For Messages from one Node to another, the stricter of \
    the `selfToOthersConnectPolicy` of the one and the `othersToSelfConnectPolicy` of the other applies: `never` (no \
    Messages flow), `ondemand` (the Nodes connect when there is a Message to deliver) or `constant` (they keep the \
    link up).";

const EXAMPLE: &str = "\
system:
    clock:
        privateKey: /etc/kozo/keys/clock
        publicKey: ssh-ed25519 AAAA…
        roles:
            timer1:
                type: timer
                tick: 1min
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
                // What ends in a space would not show it.
                let quote = if value.ends_with(' ') { "'" } else { "" };
                text.extend([
                    roman(format!(" Default: {quote}")),
                    bold(value),
                    roman(format!("{quote}.")),
                ]);
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
