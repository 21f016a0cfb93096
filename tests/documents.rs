//! README.md, ARCHITECTURE.md and `docs/`: their figures are those that were measured, their tables of options what the
//! descriptions of the options say, their examples valid, and their links lead somewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use kozo_core::config::{OptionSpec, OptionValue, Presence, Schema, tables};
use kozo_core::types;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// All pages of `docs/`, as paths from the top.
fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<_> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    pages
}

/// What `tests/bench/report` makes of the results that are kept.
fn report(results: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.current_dir(root().join("tests/bench")).arg("report").arg(results).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_figures_are_those_that_were_measured() {
    let page = read("docs/performance.md");
    for (results, plot, slow) in
        [("results.json", "results.svg", None), ("slow.json", "slow.svg", Some("--slow"))]
    {
        let mut arguments: Vec<_> = slow.into_iter().collect();
        let table = report(results, &arguments);
        assert!(
            page.contains(&table),
            "the table of {results} in docs/performance.md should be\n{table}"
        );
        arguments.push("--plot");
        let is = read(&format!("docs/{plot}"));
        assert_eq!(
            is,
            report(results, &arguments),
            "docs/{plot} should be what tests/bench/report {results} {arguments:?} prints"
        );
    }
    // The README has some rows of the first one.
    let table = report("results.json", &[]);
    let readme = read("README.md");
    let (_, chapter) = readme.split_once("\n## How fast it is\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let rows: Vec<_> = chapter.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 3, "rows in the README: {rows:?}");
    for row in rows {
        assert!(
            table.lines().any(|line| line == row),
            "this row of the README was not measured: {row}"
        );
    }
}

/// An option as a row of a table, behind the column of its type.
fn row(spec: &OptionSpec) -> String {
    let default = match &spec.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => "none".to_owned(),
        Presence::Default(OptionValue::Text(text)) if text.is_empty() => "empty".to_owned(),
        Presence::Default(value @ (OptionValue::Text(_) | OptionValue::Path(_))) => {
            format!("`{value}`")
        }
        Presence::Default(value) => value.to_string(),
    };
    format!("| `{}` | {default} | {} |\n", spec.name, spec.description)
}

fn options(specs: &[OptionSpec]) -> String {
    format!("| option | default | |\n|---|---|---|\n{}", specs.iter().map(row).collect::<String>())
}

/// The options of every Role or Transport, and those of each type.
fn types_and_options(what: &str, every: &[OptionSpec], schemas: &[Schema]) -> String {
    let mut table = format!("| {what} | option | default | |\n|---|---|---|---|\n");
    for (index, spec) in every.iter().enumerate() {
        let name = if index == 0 { format!("any {what} ") } else { String::new() };
        table += &format!("| {name}{}", row(spec));
    }
    for schema in schemas {
        table += &format!("| `{}` | | | {} |\n", schema.name, schema.summary());
        table.extend(schema.options.iter().map(|spec| format!("| {}", row(spec))));
    }
    table
}

/// Puts the rows of a table of the README, `| where | option | …`, in the place of those that are there.
fn of_readme(readme: &str, every: &[(String, &OptionSpec)]) -> String {
    let mut text = String::new();
    for line in readme.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let described = every.iter().find(|(place, spec)| {
            cells.get(1) == Some(&place.as_str())
                && cells.get(2) == Some(&format!("`{}`", spec.name).as_str())
        });
        match described {
            Some((place, spec)) => text += &format!("| {place} {}", row(spec)),
            None => text += &format!("{line}\n"),
        }
    }
    text
}

#[test]
fn the_options_are_as_they_are_described() {
    let types = types::built_in();
    let of_type = |schema: &Schema| format!("`{}`", schema.name);
    let schemas = types.roles.iter().chain(&types.transports);
    let every: Vec<_> = (tables::root().iter().map(|spec| ("top level".to_owned(), spec)))
        .chain(tables::node().iter().map(|spec| ("Node".to_owned(), spec)))
        .chain(
            schemas
                .flat_map(|schema| schema.options.iter().map(move |spec| (of_type(schema), spec))),
        )
        .collect();
    let readme = read("README.md");
    let (_, table) =
        readme.split_once("| where | option | default | |\n|---|---|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for line in table.lines() {
        let known = every
            .iter()
            .any(|(place, spec)| line.starts_with(&format!("| {place} | `{}` |", spec.name)));
        assert!(known, "no option of README.md: {line}");
    }

    let page = read("docs/configuration.md");
    let wanted = [
        options(tables::root()),
        options(tables::node()),
        types_and_options("Role", tables::every_role(), &types.roles),
        options(tables::every_program()),
        types_and_options("Transport", tables::every_transport(), &types.transports),
    ];
    let paragraphs = page.split("\n\n").filter(|paragraph| paragraph.starts_with('|'));
    let there: Vec<_> = paragraphs.map(|table| format!("{}\n", table.trim_end())).collect();
    assert_eq!(there.len(), wanted.len(), "tables in docs/configuration.md");
    let new = there
        .iter()
        .zip(&wanted)
        .fold(page.clone(), |page, (there, wanted)| page.replace(there, wanted));

    let mut differences = String::new();
    for (document, is, wanted) in
        [("README.md", &readme, of_readme(&readme, &every)), ("docs/configuration.md", &page, new)]
    {
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            std::fs::write(root().join(document), &wanted).unwrap();
        } else {
            differences += &only_in(is, &wanted, '-');
            differences += &only_in(&wanted, is, '+');
        }
    }
    assert!(
        differences.is_empty(),
        "the tables of options differ, `make snapshots` writes them anew:\n{differences}"
    );
}

fn only_in(one: &str, other: &str, sign: char) -> String {
    let lines = one.lines().filter(|line| other.lines().all(|known| known != *line));
    lines.map(|line| format!("{sign}{line}\n")).collect()
}

#[test]
fn the_files_of_the_examples_are_accepted() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI";
    let keys = [
        "BYfmy3mQQ3Nr27u+VJITLFrLLO6I5/u9JMjO0fTvqmt",
        "MA2m+PomnbnzMf88QoAgW5m4rQtAuwLDNQ8tKgbAEvq",
    ];
    for document in ["README.md", "docs/configuration.md"] {
        let text = read(document);
        let (_, file) = text.split_once("```yaml the file\n").unwrap();
        let (file, _) = file.split_once("```").unwrap();
        let mut file = file.to_owned();
        for rest in keys {
            file = file.replacen("ssh-ed25519 AAAA…", &format!("{key}{rest}"), 1);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kozo.yml");
        std::fs::write(&path, file).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_kozo")).arg("--check").arg(&path).output().unwrap();
        assert!(output.status.success(), "{document}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The heading as GitHub names it in links.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Where the links of a page lead, but for those to other sites.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

#[test]
fn the_links_lead_somewhere() {
    let mut documents = pages();
    documents.extend(
        ["README.md", "ARCHITECTURE.md", "src/python/README.md", "dbus/README.md"]
            .map(String::from),
    );
    for document in &documents {
        let text = read(document);
        let folder = root().join(document);
        let folder = folder.parent().unwrap();
        for link in links(&text) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root().join(document) } else { folder.join(file) };
            assert!(path.exists(), "{document}: no {link}");
            if !fragment.is_empty() {
                let headings = anchors(&std::fs::read_to_string(&path).unwrap());
                assert!(headings.contains(fragment), "{document}: no {link}, but {headings:?}");
            }
        }
    }
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 350, "README.md has {} lines", readme.lines().count());
    let (_, more) = readme.split_once("\n## More\n").unwrap();
    for page in pages() {
        assert!(links(more).contains(&page.as_str()), "the chapter More does not lead to {page}");
        assert!(
            links(&read("ARCHITECTURE.md")).contains(&page.as_str()),
            "ARCHITECTURE.md does not lead to {page}"
        );
    }
    // The contents are the chapters, in their order.
    let (contents, _) = readme.split_once("\n## ").unwrap();
    let contents: Vec<_> =
        links(contents).into_iter().filter_map(|link| link.strip_prefix('#')).collect();
    let chapters: Vec<_> =
        readme.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    assert_eq!(contents, chapters);
}
