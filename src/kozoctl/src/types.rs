//! `kozoctl types`: the types of Roles and Transports of this machine. Needs no daemon, and runs no program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kozo_core::config::programs::{Description, TypeKind, Unknown, find};
use kozo_core::config::{self, NodeConfig, OptionSpec, Presence, Registry, Schema};
use kozo_core::{places, types};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::output::{BOLD, Output, say};
use crate::table::{Cell, Table};

/// A type, and where it is from.
struct Known {
    name: String,
    kind: TypeKind,
    from: Option<PathBuf>,
    /// What it does and takes, or why that is not known.
    schema: Result<Schema, String>,
    author: Option<String>,
    version: Option<String>,
}

/// Shows all types, or the one of this name. The configuration says where else there are programs.
///
/// # Errors
/// When there is no such type.
pub(crate) fn run(name: Option<&str>, file: &Path, output: Output) -> Result<(), Failure> {
    let known = all(file);
    let Some(name) = name else {
        let all: Vec<_> = known.iter().map(Known::json).collect();
        return Ok(output.answer(&all, &table(&known).show(output))?);
    };
    let of_name: Vec<_> = known.iter().filter(|known| known.name == name).collect();
    if of_name.is_empty() {
        let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
        return Err(Failure::new(
            Exit::Unknown,
            format_args!("there is no type '{name}' on this machine"),
        )
        .hint(format!("Known types: {}", names.join(", "))));
    }
    let texts: Vec<_> = of_name.iter().map(|known| known.text(output)).collect();
    let answers: Vec<_> = of_name.iter().map(|known| known.json()).collect();
    Ok(output.answer(&answers, &texts.join("\n\n"))?)
}

/// All types of this machine, those that are built in first.
fn all(file: &Path) -> Vec<Known> {
    let registry = types::built_in();
    let kinds = [TypeKind::Role, TypeKind::Transport];
    let built_in = kinds.into_iter().flat_map(|kind| {
        registry.built_in(kind).iter().map(move |schema| Known {
            name: schema.name.to_string(),
            kind,
            from: None,
            schema: Ok(schema.clone()),
            author: None,
            version: None,
        })
    });
    let nodes = nodes(file, &registry);
    let programs = kinds.into_iter().flat_map(|kind| programs(kind, &nodes, &registry));
    built_in.chain(programs).collect()
}

/// The Nodes of the configuration, which name more folders. One that is wrong is named, and has none.
fn nodes(file: &Path, registry: &Registry) -> Vec<Arc<NodeConfig>> {
    let loaded = config::load(file, None, registry).ok();
    if loaded.is_none() && (file != Path::new(places::CONFIG) || file.exists()) {
        let file = file.display();
        say(&format!(
            "{file} cannot be read, so the folders that it names are not searched; see kozoctl config check {file}"
        ));
    }
    loaded.map(|loaded| loaded.system.nodes.clone()).unwrap_or_default()
}

/// The types of a kind that are programs, in the folders of this machine and in those that Nodes name.
fn programs(kind: TypeKind, nodes: &[Arc<NodeConfig>], registry: &Registry) -> Vec<Known> {
    let path = |node: &Arc<NodeConfig>| match kind {
        TypeKind::Role => node.options.role_path.clone(),
        TypeKind::Transport => node.options.transport_path.clone(),
    };
    let mut named: Vec<_> = nodes.iter().flat_map(path).collect();
    named.dedup();
    let known = registry.programs(kind);
    let mut names: Vec<_> = known.folders(&named).flat_map(find::types_in).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !registry.built_in(kind).iter().any(|schema| *schema.name == **name));
    let program = |name: String| {
        let (from, described) = match known.find(&name, &named, None) {
            Ok(program) => (Some(program.path), Ok(program.description)),
            Err(Unknown::NotAsked(path)) => (
                Some(path),
                Err("only the Node that runs it asks it for its description".to_owned()),
            ),
            Err(Unknown::Bad(problem)) => (None, Err(problem)),
            Err(Unknown::Nowhere) => (None, Err("it no longer exists".to_owned())),
        };
        let (schema, author, version) = match described {
            Ok(Description { schema, author, version, .. }) => (Ok(schema), author, version),
            Err(problem) => (Err(problem), None, None),
        };
        Known { name, kind, from, schema, author, version }
    };
    names.into_iter().map(program).collect()
}

impl Known {
    fn from(&self) -> String {
        match (&self.from, &self.schema) {
            (Some(path), _) => path.display().to_string(),
            (None, Ok(_)) => "built in".to_owned(),
            (None, Err(_)) => "unusable".to_owned(),
        }
    }

    /// What it does, or why that is not known.
    fn summary(&self) -> String {
        match &self.schema {
            Ok(schema) => schema.summary(),
            Err(problem) => problem.clone(),
        }
    }

    fn options(&self) -> &[OptionSpec] {
        self.schema.as_ref().map_or(&[], |schema| &schema.options)
    }

    fn json(&self) -> Value {
        let options = self.options().iter().map(|spec| {
            let default = match &spec.presence {
                Presence::Default(value) => Value::from(value.to_string()),
                Presence::Required | Presence::Optional => Value::Null,
            };
            json!({
                "name": spec.name,
                "required": spec.presence == Presence::Required,
                "default": default,
                "allowed": spec.kind.allowed(),
                "description": spec.description,
            })
        });
        json!({
            "type": self.name,
            "kind": self.kind.name(),
            "builtIn": self.from.is_none() && self.schema.is_ok(),
            "file": self.from,
            "description": self.schema.as_ref().ok().map(Schema::summary),
            "problem": self.schema.as_ref().err(),
            "author": self.author,
            "version": self.version,
            "options": options.collect::<Vec<_>>(),
        })
    }

    /// All of it, for people.
    fn text(&self, output: Output) -> String {
        let mut lines = vec![
            format!("{}  {}, {}", output.paint(BOLD, &self.name), self.kind.name(), self.from()),
            format!("  {}", self.summary()),
        ];
        let by = [("by", &self.author), ("version", &self.version)];
        let by = by.iter().filter_map(|(what, text)| {
            let text = text.as_ref().filter(|text| !text.is_empty())?;
            Some(format!("{what} {text}"))
        });
        let by: Vec<_> = by.collect();
        if !by.is_empty() {
            lines.push(format!("  {}", by.join(", ")));
        }
        for spec in self.options() {
            let default = match &spec.presence {
                Presence::Required => "required".to_owned(),
                Presence::Optional => "not set".to_owned(),
                Presence::Default(value) => format!("default {value}"),
            };
            lines.push(format!("\n  {} ({default})", output.paint(BOLD, &spec.name)));
            lines.push(format!("      {}", spec.description));
            lines.push(format!("      Allowed: {}.", spec.kind.allowed()));
        }
        lines.join("\n")
    }
}

fn table(known: &[Known]) -> Table {
    let mut table = Table::new(&["TYPE", "KIND", "FROM", "DESCRIPTION"]).spare(&["FROM"]);
    for known in known {
        let cells =
            [known.name.clone(), known.kind.name().to_owned(), known.from(), known.summary()];
        table.row(cells.map(Cell::from));
    }
    table
}
