//! Completions, in the shells themselves.

use std::path::Path;
use std::process::Command;

use crate::kit::{KOZOCTL, System, both, text};

/// What bash offers at the end of a line, which it has split into words as it does.
fn offered(system: &System, words: &[&str]) -> Vec<String> {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(kozoctl completion bash)
        COMP_WORDS=({words}); COMP_CWORD={last}; COMP_TYPE=9
        function=$(complete -p kozoctl | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
        $function kozoctl \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words = quoted.join(" "),
        last = words.len() - 1,
    );
    let output = system.workspace.bash(&script);
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_names_that_there_are() {
    let system = System::running();
    let of = |words: &[&str]| offered(&system, words);
    let role = of(&["kozoctl", "-n", "cellar", "role", ""]);
    assert_eq!(role[..4], ["new", "try", "cuckoo", "logger"], "{role:?}");
    assert_eq!(of(&["kozoctl", "-n", "cellar", "role", "lo"]), ["logger"]);
    assert_eq!(of(&["kozoctl", "--node", "attic", "role", "ti"]), ["timer1"]);
    assert_eq!(of(&["kozoctl", "-n", "attic", "peer", "c"]), ["cellar"]);
    assert_eq!(of(&["kozoctl", "-n", "attic", "ping", "c"]), ["cellar"]);
    assert_eq!(of(&["kozoctl", "-n", "cellar", "role", "logger", "st"]), ["start", "stop"]);
    let nodes = of(&["kozoctl", "-n", ""]);
    assert!(["attic", "cellar"].iter().all(|node| nodes.iter().any(|n| n == node)), "{nodes:?}");
    assert_eq!(of(&["kozoctl", "mon"]), ["monitor"]);
    assert_eq!(of(&["kozoctl", "inject", "o"]), ["order"]);
    // Where nothing is to be had, nothing is said.
    assert_eq!(of(&["kozoctl", "-n", "nobody", "role", "x"]), [""; 1]);
}

#[test]
fn fish_offers_them_too() {
    let system = System::running();
    let complete = |line: &str| {
        let script = format!("kozoctl completion fish | source; complete --do-complete '{line}'");
        let output = system.workspace.bash(&format!("HOME=$PWD fish -c {script:?}"));
        assert_eq!(text(&output.stderr), "");
        let offered = text(&output.stdout);
        let words = offered.lines().filter_map(|line| line.split('\t').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("kozoctl -n cellar role lo"), ["logger"]);
    assert_eq!(complete("kozoctl -n attic peer c"), ["cellar"]);
    assert_eq!(complete("kozoctl -n attic wait peer=cellar:u"), ["peer=cellar:up"]);
}

#[test]
fn zsh_offers_them_too() {
    let system = System::running();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/pages");
    let made = Command::new(pages).arg(KOZOCTL).arg(system.workspace.path().join("pages")).output();
    assert!(made.unwrap().status.success());
    // As a user has it, and as it is when it was installed.
    for setup in [
        "autoload -U compinit; compinit -u; source <(kozoctl completion zsh)",
        "fpath=($PWD/pages/zsh/vendor-completions $fpath); autoload -U compinit; compinit -u",
    ] {
        // Its completions are only to be had from one that thinks that it has a terminal. That it is ready is not in the
        // line that says so, for the terminal shows that one too, and before it is run.
        let script = format!(
            r#"timeout 60 zsh -f <<'END'
            zmodload zsh/zpty
            zpty shell 'HOME=$PWD TERM=dumb zsh -f -i'
            zpty -w shell 'PS1=; {setup}'
            zpty -w shell 'print rea$((0))dy'
            zpty -r shell line '*rea0dy*'
            zpty -n -w shell $'kozoctl -n cellar role lo\t'
            zpty -r shell line '*role logger*'
            print -r -- $line
END"#
        );
        let output = system.workspace.bash(&script);
        assert!(text(&output.stdout).contains("role logger"), "{setup}: {}", both(&output));
    }
}
