//! Roles that are programs, as those who write them go about it: written, tried, attached, described, configured.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::kit::{System, both, ended, text, until};

/// Where the package of Python is.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../python");

/// A program that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script(path: &Path, lines: &str) {
    fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Starts a command in the background, with what it says in a file.
fn spawn(system: &System, line: &str) -> Running {
    let log = fs::File::create(system.workspace.path().join("said")).unwrap();
    let mut command = system.workspace.bash_command(&format!("exec {line}"));
    command.env("PYTHONPATH", PYTHON);
    Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn role_is_there(system: &System, node: &str, role: &str) {
    let wait = format!("role={role}:running");
    until(&format!("{role} runs"), || {
        system.workspace.run(&["-n", node, "wait", &wait, "--timeout", "1s"]).status.success()
    });
}

/// Both languages, tried on one Node, asked from the other.
#[test]
fn what_is_written_for_a_beginner_works() {
    let mut system = System::prepared();
    system.start("attic");
    let workspace = &system.workspace;
    for (language, extension) in [("--shell", "sh"), ("--python", "py")] {
        let told = workspace.answer(&["role", "new", "bell", language]);
        assert!(told.contains("kozoctl role try"), "{told}");
        let file = format!("./bell.{extension}");
        if extension == "py" {
            // What executes Python executes it.
            let path = workspace.path().join(&file);
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let refused = workspace.failure(&["role", "new", "bell", language], 1);
        assert!(refused.contains("exists"), "{refused}");
        let mut role = spawn(&system, &format!("kozoctl -n attic role try {file}"));
        role_is_there(&system, "attic", "bell");
        let monitor = workspace
            .command(&[
                "-n", "attic", "monitor", "bell", "--kind", "reply", "--count", "1", "--json",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Whether the monitor is there already is not known, so it is rung until one is heard.
        let mut monitor = Running(monitor);
        until("the bell is heard", || {
            let rung = workspace.run(&["-n", "attic", "inject", "order", "bell", "ding"]);
            assert_eq!(rung.status.code(), Some(0), "{}", both(&rung));
            monitor.0.try_wait().unwrap().is_some()
        });
        let heard =
            text(&std::io::read_to_string(monitor.0.stdout.take().unwrap()).unwrap().into_bytes());
        assert!(heard.contains("\"role\":\"bell\""), "{heard}");
        let shown = workspace.json(&["-n", "attic", "role", "bell"]);
        assert_eq!((&shown["type"], &shown["restarts"]), (&"bell".into(), &0.into()));
        // Its name is its own.
        let taken = workspace.failure(&["-n", "attic", "attach", "--name", "bell"], 1);
        assert!(taken.contains("there is a role 'bell' already"), "{taken}");
        let taken = workspace.failure(&["-n", "attic", "attach", "--name", "timer1"], 1);
        assert!(taken.contains("there is a role 'timer1' already"), "{taken}");
        let refused = workspace.failure(&["-n", "attic", "role", "bell", "restart"], 1);
        assert!(refused.contains("only the program itself can restart it"), "{refused}");
        // Asked to stop it ends by itself, and is gone.
        assert_eq!(workspace.json(&["-n", "attic", "role", "bell", "stop"])["state"], "stopped");
        assert!(ended(&mut role.0).success());
        until("it is gone", || {
            workspace.run(&["-n", "attic", "role", "bell"]).status.code() == Some(5)
        });
    }
}

/// What beginners do wrong is answered with what to do.
#[test]
fn what_cannot_be_tried_is_told_why() {
    let mut system = System::prepared();
    system.start("attic");
    let workspace = &system.workspace;
    let file = workspace.path().join("chat.sh");
    fs::write(&file, "#!/bin/sh\necho hello\n").unwrap();
    let refused = workspace.failure(&["-n", "attic", "role", "try", "chat.sh"], 1);
    assert!(refused.contains("Make it executable: chmod +x "), "{refused}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = workspace.failure(&["-n", "attic", "role", "try", "chat.sh"], 1);
    assert!(refused.contains("chat.sh --describe is wrong: "), "{refused}");
    // What it says instead of a description, and then of itself as a Role.
    fs::write(&file, "#!/bin/sh\necho no module >&2\nexit 3\n").unwrap();
    let refused = workspace.failure(&["-n", "attic", "role", "try", "chat.sh"], 3);
    assert!(refused.contains("chat.sh --describe` said: no module\n"), "{refused}");
    workspace.answer(&["role", "new", "bell"]);
    let pin = ["-n", "attic", "role", "try", "./bell.sh", "--set", "pin=7"];
    let refused = workspace.failure(&pin, 2);
    assert!(refused.contains("It has no options."), "{refused}");
}

/// Until its program says that it is ready, whichever way it has come.
#[test]
fn a_role_is_starting_until_its_program_is_ready() {
    let mut system = System::prepared();
    let folder = system.workspace.path().join("roles");
    fs::create_dir(&folder).unwrap();
    let lines = format!(
        "read -r start\necho '{{\"method\": \"status\", \"params\": {{\"text\": \"warming up\"}}}}'\n\
         while [ ! -e {}/go ]; do sleep 0.02; done\necho '{{\"method\": \"ready\"}}'\ncat > /dev/null",
        folder.display()
    );
    script(&folder.join("slow"), &lines);
    let about =
        r#"{"format": "1.0", "author": "", "version": "1", "description": "", "config": {}}"#;
    fs::write(folder.join("slow.json"), about).unwrap();
    system.edit("heartbeat: 1s", &format!("heartbeat: 1s\nrolePath: {}", folder.display()));
    system.edit("            timer1:", "            slow: {}\n            timer1:");
    system.start("attic");
    let workspace = &system.workspace;
    let _guest = spawn(&system, "kozoctl -n attic attach --name guest -- roles/slow");
    for role in ["slow", "guest"] {
        until("it has begun", || {
            workspace.json(&["-n", "attic", "role", role])["status"] == "warming up"
        });
        assert_eq!(workspace.json(&["-n", "attic", "role", role])["state"], "starting");
        let wait = format!("role={role}:running");
        let missing = workspace.failure(&["-n", "attic", "wait", &wait, "--timeout", "0.1s"], 7);
        assert!(missing.contains("now starting"), "{missing}");
    }
    assert!(workspace.answer(&["-n", "attic", "status"]).contains("starting"));
    fs::write(folder.join("go"), "").unwrap();
    for role in ["slow", "guest"] {
        role_is_there(&system, "attic", role);
        let shown = workspace.json(&["-n", "attic", "role", role]);
        assert_eq!((&shown["state"], &shown["status"]), (&"running".into(), &"warming up".into()));
    }
}

/// What a program says of itself is shown to people, so it is a short line like a name.
#[test]
fn a_type_that_is_no_name_is_refused() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;

    let mut system = System::prepared();
    system.start("attic");
    let socket = system.workspace.path().join("run/kozo/attic/role");
    for role_type in ["\u{1b}[2J", "", &"x".repeat(1000)] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let params = serde_json::json!({"name": "me", "type": role_type});
        let request = serde_json::json!({"id": 1, "method": "attach", "params": params});
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("is not a valid role name"), "{answer}");
    }
}

/// So a program that could also attach itself does not, and speaks with whom it has been joined.
#[test]
fn a_program_that_is_attached_knows_it() {
    let mut system = System::prepared();
    system.start("attic");
    let attach =
        "kozoctl -n attic attach --name me -- sh -c 'echo \"$KOZO_RUN as $KOZO_ROLE\" >&2'";
    let output = system.workspace.bash(attach);
    assert!(text(&output.stderr).contains("attached as me"), "{}", text(&output.stderr));
}

#[test]
fn what_is_typed_is_a_role_too_and_nonsense_ends_it() {
    let mut system = System::prepared();
    system.start("attic");
    let lines = r#"{"jsonrpc":"2.0","method":"ready"}
{"jsonrpc":"2.0","id":1,"method":"send","params":{"kind":"event","type":"hello","data":{"a":[1]}}}"#;
    let output =
        system.workspace.bash(&format!("echo '{lines}' | kozoctl -n attic attach --name me"));
    let said = text(&output.stdout);
    let mut answers =
        said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let start = answers.next().unwrap();
    assert_eq!((&start["method"], &start["params"]["role"]), (&"start".into(), &"me".into()));
    assert_eq!(answers.next().unwrap()["result"]["peers"], 0, "{said}");
    let output =
        system.workspace.bash("echo '{\"jsonrpc\": }' | kozoctl -n attic attach --name me");
    assert!(text(&output.stdout).contains("-32700"), "{}", both(&output));
    let log = system.workspace.path().join("attic.stderr");
    until("the node says why", || fs::read_to_string(&log).unwrap().contains("line 1, column"));
}

/// On another machine, with a shell in place of ssh: the program runs here.
#[test]
fn a_program_here_is_a_role_there() {
    let mut system = System::prepared();
    system.start("attic");
    let workspace = &system.workspace;
    script(&workspace.path().join("ssh"), "shift 2\nexec sh -c \"$*\"");
    script(
        &workspace.path().join("here"),
        "echo '{\"jsonrpc\":\"2.0\",\"method\":\"ready\"}'\nwhile read -r line; do echo \"$line\" >> told; done",
    );
    let mut role = spawn(&system, "env PATH=$PWD:$PATH kozoctl -H pi -n attic attach -- ./here");
    role_is_there(&system, "attic", "here");
    workspace.run(&["-n", "attic", "role", "here", "stop"]);
    assert!(ended(&mut role.0).success());
    let told = fs::read_to_string(workspace.path().join("told")).unwrap();
    assert!(
        told.contains("\"role\":\"here\"")
            && told.contains("\"method\":\"stop\",\"params\":{\"ends\":\"role\"}"),
        "{told}"
    );
}

/// What does not become a Role there is not run here.
#[test]
fn a_program_here_is_not_run_without_a_node_there() {
    let mut system = System::prepared();
    system.start("attic");
    let workspace = &system.workspace;
    script(
        &workspace.path().join("ssh"),
        "[ \"$2\" != mute ] || exit 0\n[ \"$2\" = pi ] || exit 255\nshift 2\nexec sh -c \"$*\"",
    );
    let attach = |options: &str| {
        workspace.bash(&format!("PATH=$PWD:$PATH kozoctl {options} attach -- sh -c 'echo ran >&2'"))
    };
    let output = attach("-H away -n attic");
    assert_eq!(output.status.code(), Some(8), "{}", both(&output));
    assert_eq!(text(&output.stderr), "kozoctl: ssh cannot reach away\n");
    let output = attach("-H mute -n attic");
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert_eq!(text(&output.stderr), "kozoctl: kozoctl on mute ended without a word\n");
    let output = attach("-H pi -n cellar");
    assert_eq!(output.status.code(), Some(3), "{}", both(&output));
    assert!(!text(&output.stderr).contains("ran"), "{}", both(&output));
}

/// Found in a folder of the configuration, described by itself, checked, run, and started anew when its file changes.
#[test]
fn a_program_of_the_configuration_is_a_role() {
    let mut system = System::prepared();
    let folder = system.workspace.path().join("roles");
    fs::create_dir(&folder).unwrap();
    assert!(system.workspace.bash("cd roles && kozoctl role new bell").status.success());
    system.edit("heartbeat: 1s", &format!("heartbeat: 1s\nrolePath: {}", folder.display()));
    system.edit(
        "            timer1:",
        "            bell:\n                pim: 7\n            timer1:",
    );
    let workspace = &system.workspace;
    let kozo = Path::new(crate::kit::KOZOCTL).with_file_name("kozo");
    let check =
        |more: &str| workspace.bash(&format!("{} --check {more} kozo.yml attic", kozo.display()));
    // Without being told to, nothing is run.
    let checked = check("");
    assert!(
        checked.status.success() && text(&checked.stderr).contains("was not run"),
        "{}",
        both(&checked)
    );
    let checked = check("--run");
    assert!(text(&checked.stderr).contains("has no option `pim`"), "{}", both(&checked));
    system.edit("                pim: 7\n", "                messageQueueLength: 7\n");
    assert!(check("--run").status.success());

    system.start("attic");
    role_is_there(&system, "attic", "bell");
    let workspace = &system.workspace;
    let rung = workspace.run(&["-n", "attic", "inject", "order", "bell"]);
    assert_eq!(rung.status.code(), Some(0), "{}", both(&rung));
    let types = workspace.answer(&["types", "--file", "kozo.yml"]);
    assert!(types.contains("bell") && types.contains("roles/bell.sh"), "{types}");
    // Nothing has changed, then the file has.
    assert!(workspace.answer(&["-n", "attic", "reload"]).contains("nothing has changed"));
    let file = folder.join("bell.sh");
    let lines = fs::read_to_string(&file).unwrap() + "# more\n";
    fs::write(&file, lines).unwrap();
    assert!(workspace.answer(&["-n", "attic", "reload"]).contains("roles: bell"));
    role_is_there(&system, "attic", "bell");
    // Without its program the Node says so, and goes on.
    fs::remove_file(&file).unwrap();
    system.kill("attic");
    system.start("attic");
    let workspace = &system.workspace;
    until("it has failed", || {
        workspace.json(&["-n", "attic", "role", "bell"])["state"] == "failed"
    });
    let shown = workspace.answer(&["-n", "attic", "role", "bell"]);
    assert!(shown.contains("the program of type `bell` is missing"), "{shown}");
    assert_eq!(workspace.json(&["-n", "attic", "role", "timer1"])["state"], "running");
}

/// It need neither be executable nor say what executes it.
#[test]
fn a_file_in_python_is_a_role() {
    let mut system = System::prepared();
    let folder = system.workspace.path().join("roles");
    fs::create_dir(&folder).unwrap();
    assert!(system.workspace.bash("cd roles && kozoctl role new gong --python").status.success());
    let file = folder.join("gong.py");
    let lines = fs::read_to_string(&file).unwrap();
    let lines = lines.split_once('\n').unwrap().1;
    fs::write(&file, lines).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let paths = format!("rolePath: {}\nimportPath: {PYTHON}", folder.display());
    system.edit("heartbeat: 1s", &format!("heartbeat: 1s\n{paths}"));
    system.edit("            timer1:", "            gong: {}\n            timer1:");
    system.start("attic");
    role_is_there(&system, "attic", "gong");
    let workspace = &system.workspace;
    let rung = workspace.run(&["-n", "attic", "inject", "order", "gong"]);
    assert_eq!(rung.status.code(), Some(0), "{}", both(&rung));
    until("it has answered", || workspace.json(&["-n", "attic", "role", "gong"])["sent"] == 1);
}

#[test]
fn every_type_says_what_it_takes() {
    let system = System::prepared();
    let all = system.workspace.json(&["types"]);
    let names: Vec<_> =
        all.as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert!(names.contains(&"timer") && names.contains(&"tcp"), "{names:?}");
    let timer = system.workspace.answer(&["types", "timer"]);
    assert!(
        timer.contains("tick (default 1 s)") && timer.contains("Allowed: a duration"),
        "{timer}"
    );
    let refused = system.workspace.failure(&["types", "timr"], 5);
    assert!(refused.contains("timer"), "{refused}");
}
