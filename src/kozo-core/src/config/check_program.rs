//! Which type a Role or Transport is of: one that is built in, a program, or one that cannot be used here.

use std::sync::Arc;

use super::check_node::{Surroundings, Typed};
use super::checker::{Checker, Sought};
use super::programs::{Program, TypeKind, Unknown, find};
use super::report::{Problem, quoted};
use super::schema::{Options, Schema};
use super::system::{ProgramConfig, Runs};

/// A type, as far as it is known here.
pub(super) enum TypeFound<'r> {
    BuiltIn(&'r Schema),
    Program(Arc<Program>),
    /// Why it is not, for people.
    Unknown(String),
}

impl TypeFound<'_> {
    /// What it takes.
    pub(super) fn schema(&self) -> Option<&Schema> {
        match self {
            TypeFound::BuiltIn(schema) => Some(schema),
            TypeFound::Program(program) => Some(&program.description.schema),
            TypeFound::Unknown(_) => None,
        }
    }

    /// What runs it, given the options of every program.
    pub(super) fn runs(&self, options: &Options) -> Runs {
        match self {
            TypeFound::BuiltIn(_) => Runs::BuiltIn,
            TypeFound::Program(program) => {
                Runs::Program(ProgramConfig::new(Arc::clone(program), options))
            }
            TypeFound::Unknown(why) => Runs::Nothing(why.clone()),
        }
    }
}

impl<'r> Checker<'r> {
    /// The type that a Role or Transport says it is of. There is a problem or a warning where it cannot be used.
    pub(super) fn find_type(
        &mut self,
        kind: TypeKind,
        typed: &Typed<'_>,
        here: &Surroundings<'_>,
    ) -> TypeFound<'r> {
        let mut built_in = self.registry.built_in(kind).iter();
        if let Some(schema) = built_in.find(|schema| *schema.name == *typed.name) {
            return TypeFound::BuiltIn(schema);
        }
        match self.program(kind, &typed.name, here) {
            Ok(program) => TypeFound::Program(program),
            Err(unknown) => TypeFound::Unknown(self.no_program(kind, &unknown, typed, here)),
        }
    }

    /// The program of a type. Only one that the Node which is to run here runs may be run.
    fn program(
        &mut self,
        kind: TypeKind,
        name: &str,
        here: &Surroundings<'_>,
    ) -> Result<Arc<Program>, Unknown> {
        let is_ours = kind == TypeKind::Transport && self.local_transports.contains(name);
        let may_run = self.local == Some(here.node) || is_ours;
        let named = here.path(kind);
        let sought = Sought { kind, type_name: name.to_owned(), folders: named.to_vec(), may_run };
        let import_path = may_run.then_some(here.import_path);
        let programs = self.registry.programs(kind);
        let find = || programs.find(name, named, import_path).map(Arc::new);
        self.programs.entry(sought).or_insert_with(find).clone()
    }

    /// Says that a program cannot be used, and what is shown of that.
    fn no_program(
        &mut self,
        kind: TypeKind,
        unknown: &Unknown,
        typed: &Typed<'_>,
        here: &Surroundings<'_>,
    ) -> String {
        let known = self.registry.programs(kind);
        let package = kind.package(&typed.name);
        let title = match unknown {
            Unknown::NotAsked(path) => {
                let title = format!("the program `{}` was not run", path.display());
                let problem = Problem::new(typed.at.clone(), title.clone())
                    .label("so its options are unchecked")
                    .help(format!("`kozo --check --run FILE {}` asks it for them", here.node));
                self.warnings.push(problem);
                return title;
            }
            Unknown::Nowhere if !known.was_seen(&typed.name) => {
                let programs = known.folders(here.path(kind)).flat_map(find::types_in);
                let built_in = self.registry.built_in(kind).iter();
                let names =
                    built_in.map(|schema| schema.name.to_string()).chain(programs).collect();
                self.unknown_type(typed, here.node, kind.title(), names);
                return format!("there is no program of type {}", quoted(&typed.name));
            }
            Unknown::Nowhere => {
                format!("the program of type {} is missing", quoted(&typed.name))
            }
            Unknown::Bad(problem) => problem.clone(),
        };
        let mut problem = Problem::new(typed.at.clone(), title.clone());
        if let Some(package) = package {
            problem = problem.help(format!("install the package {package}"));
        }
        // Of what another Node has, this machine need not know more.
        if self.local == Some(here.node) && !known.may_be_missing {
            self.problems.push(problem);
        } else {
            self.warnings.push(problem.label("the options are unchecked"));
        }
        match (package, unknown) {
            (Some(package), _) => format!("{title}: install the package {package}"),
            // It is asked again by no restart of the Role.
            (None, Unknown::Bad(_)) => format!("{title}: repair it, then reload the Node"),
            (None, _) => title,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::programs::{Cache, Describe, Programs};
    use crate::config::{self, ConfigError, Loaded, Registry, Runs};

    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/";
    const RINGS: &str = r#"{"format": 1, "config": {"pin": {"kind": "integer", "max": 40}}}"#;

    /// Answers for programs, and counts how often.
    struct Answer(&'static str, AtomicUsize);

    impl Describe for Answer {
        fn describe(&self, _program: &Path, _: &[PathBuf]) -> Result<String, String> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match self.0 {
                "" => Err("`bell --describe` says nothing".to_owned()),
                said => Ok(said.to_owned()),
            }
        }
    }

    struct Machine {
        folder: tempfile::TempDir,
        registry: Registry,
        asked: Arc<Answer>,
    }

    /// A machine with the program `bell`, which answers this when it is asked what it is.
    fn machine(said: &'static str) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let bell = folder.path().join("bell");
        fs::write(&bell, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&bell, fs::Permissions::from_mode(0o755)).unwrap();
        let asked = Arc::new(Answer(said, AtomicUsize::new(0)));
        let programs = Programs {
            cache: Some(Cache::new(folder.path().join("cache"))),
            describe: Some(Arc::clone(&asked) as _),
            ..Programs::default()
        };
        Machine {
            folder,
            registry: Registry { role_programs: programs, ..Registry::default() },
            asked,
        }
    }

    impl Machine {
        /// Checks a System in which this is the block of a Role of Node `clock`, where `local` is to run.
        fn check(&self, role: &str, local: Option<&str>) -> Result<Loaded, ConfigError> {
            let text = format!(
                "rolePath: {}\nsystem:\n  clock:\n    privateKey: /nowhere\n    publicKey: {PUBLIC}\n    \
                 roles:\n      {role}\n",
                self.folder.path().display()
            );
            config::check("kozo.yml", &text, local, &self.registry)
        }

        fn role(&self, role: &str) -> (config::RoleConfig, Vec<String>) {
            let loaded = self.check(role, None).unwrap();
            let role = loaded.system.nodes.first().unwrap().roles.first().unwrap().clone();
            (role, loaded.warnings)
        }

        /// All that is said for the Node which is to run here.
        fn refused(&self, role: &str) -> String {
            self.check(role, Some("clock")).unwrap_err().render(false)
        }
    }

    #[test]
    fn a_program_of_another_node_is_not_run_and_its_options_are_not_checked() {
        let machine = machine(RINGS);
        let (role, warnings) = machine.role("bell: {pin: x}");
        assert!(matches!(role.runs, Runs::Nothing(_)), "{:?}", role.runs);
        assert_eq!(role.options.text("pin"), Some("x"));
        assert!(warnings.concat().contains("was not run"), "{warnings:?}");
        assert_eq!(machine.asked.1.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_file_beside_it_describes_a_program() {
        let machine = machine("");
        fs::write(machine.folder.path().join("bell.json"), RINGS).unwrap();
        let (role, warnings) = machine.role("door: {type: bell, pin: 7, environment: {A: b}}");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(role.options.integer("pin"), Some(7));
        let Runs::Program(program) = role.runs else { panic!("{:?}", role.runs) };
        assert_eq!(program.program.path, machine.folder.path().join("bell"));
        assert_eq!(program.environment.get("A").map(String::as_str), Some("b"));
        assert_eq!(program.memory_limit, 256 << 20);
        let text = machine.check("bell: {pin: 41}", None).unwrap_err().render(false);
        assert!(text.contains("`41` is not a value for `pin`"), "{text}");
        let text = machine.check("bell: {pim: 4}", None).unwrap_err().render(false);
        assert!(text.contains("did you mean `pin`"), "{text}");
    }

    #[test]
    fn an_option_of_which_nothing_is_said_is_a_text_or_a_list() {
        let machine = machine("");
        let said =
            r#"{"format": "1.0", "config": {"address": {"description": "One, or a list."}}}"#;
        fs::write(machine.folder.path().join("bell.json"), said).unwrap();
        for (written, json) in [("a.local", r#""a.local""#), ("[a, 7]", r#"["a","7"]"#)] {
            let (role, _) = machine.role(&format!("bell: {{address: {written}}}"));
            assert_eq!(role.options.to_json().get("address").unwrap().to_string(), json);
        }
        let text = machine.check("bell: {address: {a: b}}", None).unwrap_err().render(false);
        assert!(text.contains("`address` takes a text or a list, not a block"), "{text}");
    }

    #[test]
    fn a_program_is_asked_once_for_as_long_as_its_file_is_the_same() {
        let machine = machine(RINGS);
        for _ in 0..2 {
            let text = machine.refused("bell: {pin: 41}");
            assert!(text.contains("`41` is not a value for `pin`"), "{text}");
        }
        assert_eq!(machine.asked.1.load(Ordering::Relaxed), 1);
        fs::write(machine.folder.path().join("bell"), "#!/bin/false\n").unwrap();
        machine.refused("bell: {pin: 41}");
        assert_eq!(machine.asked.1.load(Ordering::Relaxed), 2);
    }

    /// A System of two Nodes with Transports of type `radio`, whose program says what it is when it is asked.
    fn with_radio(
        transports: [&str; 2],
        local: Option<&str>,
    ) -> (Result<Loaded, ConfigError>, usize) {
        const OTHER: &str =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrgCCAXztxnxCpXGCjPGHDfHl6UBWMm5BrEpV7CQCEL";
        let mut machine = machine(
            r#"{"format": 1, "kind": "transport", "config": {"band": {"kind": "integer", "default": 2, "max": 9}}}"#,
        );
        fs::rename(machine.folder.path().join("bell"), machine.folder.path().join("radio"))
            .unwrap();
        let programs = std::mem::take(&mut machine.registry.role_programs);
        machine.registry.transport_programs = Programs { kind: TypeKind::Transport, ..programs };
        let node = |name: &str, key: &str, transports: &str| {
            format!(
                "  {name}:\n    privateKey: /nowhere\n    publicKey: {key}\n    transports:\n      {transports}\n"
            )
        };
        let [clock, scribe] = transports;
        let text = format!(
            "transportPath: {}\nsystem:\n{}{}",
            machine.folder.path().display(),
            node("clock", PUBLIC, clock),
            node("scribe", OTHER, scribe)
        );
        let checked = config::check("kozo.yml", &text, local, &machine.registry);
        (checked, machine.asked.1.load(Ordering::Relaxed))
    }

    #[test]
    fn a_transport_is_a_program_too_and_checks_those_of_others_that_it_connects_to() {
        // The key of the Node is not there, which is told besides.
        let refused = |transports, local| {
            let (checked, asked) = with_radio(transports, local);
            (checked.unwrap_err().render(false), asked)
        };
        let (text, asked) =
            refused(["radio: {band: 3}", "near: {type: radio, band: 10}"], Some("clock"));
        assert!(text.contains("`10` is not a value for `band`"), "{text}");
        assert_eq!(asked, 1);
        // Nothing of this machine connects to it.
        let (text, asked) = refused(["tcp: {}", "radio: {band: 10}"], Some("clock"));
        assert!(!text.contains("band"), "{text}");
        assert_eq!(asked, 0);
        let (text, _) = refused(["radoi: {}", "radio: {}"], Some("clock"));
        assert!(
            text.contains("there is no Transport type `radoi`") && text.contains("`radio`"),
            "{text}"
        );
        let (checked, asked) = with_radio(["radio: {}", "radio: {band: 10}"], None);
        let loaded = checked.unwrap();
        assert!(loaded.warnings.concat().contains("was not run"), "{:?}", loaded.warnings);
        assert_eq!(asked, 0);
        let transport = &loaded.system.nodes.first().unwrap().transports.first().unwrap().runs;
        assert!(matches!(transport, Runs::Nothing(_)), "{transport:?}");
    }

    #[test]
    fn a_program_that_says_nothing_or_nonsense_is_refused_by_name() {
        let text = machine("").refused("bell: {}");
        assert!(text.contains("`bell --describe` says nothing"), "{text}");
        let text = machine("{}").refused("bell: {}");
        assert!(text.contains("--describe`: missing field `format`"), "{text}");
    }

    #[test]
    fn a_node_starts_without_a_program_that_was_there_but_not_without_one_that_never_was() {
        let mut machine = machine(RINGS);
        machine.refused("bell: {pin: 41}");
        fs::remove_file(machine.folder.path().join("bell")).unwrap();
        let missing = "the program of type `bell` is missing";
        assert!(machine.refused("bell: {}").contains(missing));
        machine.registry.role_programs.may_be_missing = true;
        let text = machine.refused("bell: {}");
        assert!(!text.contains(missing), "{text}");
        assert!(machine.refused("bel: {}").contains("there is no Role type `bel`"));
        let text = machine.refused("motion-detect: {}");
        assert!(!text.contains("motion-detect"), "{text}");
        let (role, warnings) = machine.role("motion-detect: {}");
        assert!(warnings.concat().contains("kozo-role-motion-detect"), "{warnings:?}");
        let Runs::Nothing(why) = role.runs else { panic!("{:?}", role.runs) };
        assert!(why.ends_with("install the package kozo-role-motion-detect"), "{why}");
    }
}
