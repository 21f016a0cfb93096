//! Completions, in the shells themselves: what a person sees who presses the keys.

use std::path::Path;
use std::process::Command;

use crate::kit::{KOZOCTL, System, both, text};

/// What is pressed, and what the line becomes.
const PRESSED: [(&str, &str); 11] = [
    ("kozoctl -n cellar role lo", "role logger"),
    ("kozoctl --node=at", "--node=attic"),
    ("kozoctl -n attic peer ", "peer cellar"),
    ("kozoctl -n attic ping c", "ping cellar"),
    ("kozoctl -n cellar role logger sta", "role logger start"),
    ("kozoctl mon", "kozoctl monitor"),
    ("kozoctl inject o", "inject order"),
    ("kozoctl -n attic wait peer=cellar:u", "wait peer=cellar:up"),
    ("kozoctl config check kozo.yml att", "check kozo.yml attic"),
    ("kozo kozo.yml cel", "kozo kozo.yml cellar"),
    ("kozo --che", "kozo --check"),
];

/// Presses all of that in a shell that has a terminal.
fn press(system: &System, shell: &str, setup: &str) {
    let prompt = match shell.starts_with("fish") {
        true => "function fish_prompt; echo -n rea(echo d)y; end",
        false => "PS1=rea$(echo d)y",
    };
    let folder = Path::new(KOZOCTL).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("python3");
    system.workspace.within(&mut command);
    command.args(["-c", include_str!("press.py"), shell, setup, prompt, "--"]).env("PATH", path);
    let pressed = command.args(PRESSED.iter().flat_map(|(keys, wanted)| [keys, wanted]));
    let output = pressed.output().unwrap();
    assert!(output.status.success(), "{shell}, {setup}: {}", both(&output));
}

/// A System, with what packages install for the completions of shells in the folder `pages`.
fn system() -> System {
    let system = System::running();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/pages");
    let made = Command::new(pages).arg(KOZOCTL).arg(system.workspace.path().join("pages")).output();
    assert!(made.unwrap().status.success());
    system
}

#[test]
fn bash_completes_them() {
    let (system, shell) = (system(), "bash --norc --noprofile -i");
    press(&system, shell, "source <(kozoctl completion bash)");
    press(
        &system,
        shell,
        "for p in kozo kozoctl; do source pages/bash-completion/completions/$p; done",
    );
}

#[test]
fn zsh_completes_them() {
    let (system, shell) = (system(), "zsh -f -i");
    press(&system, shell, "autoload -U compinit; compinit -u; source <(kozoctl completion zsh)");
    let fpath =
        "fpath=($PWD/pages/zsh/vendor-completions $fpath); autoload -U compinit; compinit -u";
    press(&system, shell, fpath);
}

#[test]
fn fish_completes_them() {
    let (system, shell) = (system(), "fish --no-config");
    press(&system, shell, "kozoctl completion fish | source");
    press(&system, shell, "for p in pages/fish/vendor_completions.d/*; source $p; end");
}

/// What a shell is offered for the last of these words.
fn offered(system: &System, words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let output = system.workspace.bash(&format!("COMPLETE=fish kozoctl -- {}", quoted.join(" ")));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

#[test]
fn only_what_is_meant_is_offered() {
    let system = System::running();
    assert_eq!(offered(&system, &["kozoctl", "-n", "attic", "peer", ""]), "cellar\n");
    let roles = offered(&system, &["kozoctl", "-n", "cellar", "role", ""]);
    let roles: Vec<_> = roles.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(roles, ["new", "try", "cuckoo", "logger"]);
    assert_eq!(offered(&system, &["kozo", "kozo.yml", ""]), "attic\ncellar\n");
    // Options are offered to who has begun one.
    assert!(offered(&system, &["kozoctl", "peer", "--w"]).starts_with("--watch"));
    // Where nothing is to be had, nothing is said.
    assert_eq!(offered(&system, &["kozoctl", "-n", "nobody", "role", "x"]), "");
}
