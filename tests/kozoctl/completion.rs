//! Completions, in a real bash.

use crate::kit::{System, text};

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
    let output = system.place.bash(&script);
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_names_that_there_are() {
    let system = System::running();
    let of = |words: &[&str]| offered(&system, words);
    let role = of(&["kozoctl", "-n", "scribe", "role", ""]);
    assert_eq!(role[..2], ["cuckoo", "logger"], "{role:?}");
    assert_eq!(of(&["kozoctl", "-n", "scribe", "role", "lo"]), ["logger"]);
    assert_eq!(of(&["kozoctl", "--node", "clock", "role", "t"]), ["timer1"]);
    assert_eq!(of(&["kozoctl", "-n", "clock", "peer", "s"]), ["scribe"]);
    assert_eq!(of(&["kozoctl", "-n", "clock", "ping", "s"]), ["scribe"]);
    assert_eq!(of(&["kozoctl", "-n", "scribe", "role", "logger", "st"]), ["start", "stop"]);
    let nodes = of(&["kozoctl", "-n", ""]);
    assert!(["clock", "scribe"].iter().all(|node| nodes.iter().any(|n| n == node)), "{nodes:?}");
    assert_eq!(of(&["kozoctl", "mon"]), ["monitor"]);
    assert_eq!(of(&["kozoctl", "inject", "o"]), ["order"]);
    // Where nothing is to be had, nothing is said.
    assert_eq!(of(&["kozoctl", "-n", "nobody", "role", "x"]), [""; 1]);
}
