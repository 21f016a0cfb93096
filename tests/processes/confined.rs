//! What a program finds, and what it cannot reach.

use std::fs;
use std::process::Stdio;

use kozo::process::Exit;

use super::support::{PATIENCE, Place, run, shell};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

#[tokio::test]
async fn a_program_reaches_neither_keys_nor_what_others_keep() {
    let place = Place::new();
    fs::write(place.path("beside"), "not hidden").unwrap();
    let script = format!(
        "cd {0}; cat beside clock.key storage/other; echo x > clock.key; echo x > storage/new; \
         mv clock.key moved; ln clock.key link; cat /proc/self/cwd/clock.key; \
         ls / storage > /dev/null && echo listed; \
         : < /proc/self/mem && echo own; : < /proc/$PPID/mem && echo spied; \
         kill -0 $PPID && echo signalled; ls /proc/$PPID/root/ && echo through",
        place.path("").display()
    );
    let (printed, _) = place.run(&script).await;
    assert_eq!(printed, "not hiddenlisted\nown\n");
    assert_eq!(fs::read_to_string(place.path("clock.key")).unwrap(), "secret key");
    assert!(!place.path("storage/new").exists());
}

#[tokio::test]
async fn a_program_has_a_folder_of_its_own() {
    let place = Place::new();
    let script = "echo kept > note; cat note; pwd; echo $HOME; echo $STATE_DIRECTORY; mkdir sub";
    let (printed, exit) = place.run(script).await;
    let folder = place.path("storage/bell.files");
    let own = folder.display();
    assert_eq!(printed, format!("kept\n{own}\n{own}\n{own}\n"));
    assert!(exit.is_success() && folder.join("sub").exists());
}

#[tokio::test]
async fn the_environment_is_what_is_documented() {
    let place = Place::new();
    let mut launch = shell("env");
    launch.environment = vec![("MINE".into(), "1".into()), ("KOZO_NODE".into(), "far".into())];
    launch.without = vec!["KOZO_ROLE"];
    let streams = [std::process::Stdio::null(), std::process::Stdio::piped()];
    let [stdin, stdout] = streams;
    let (printed, _) = run(place.launcher().start(&launch, stdin, stdout).unwrap()).await;
    let value =
        |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(
        (value("MINE"), value("KOZO_NODE"), value("KOZO_ROLE")),
        (Some("1"), Some("far"), None)
    );
    assert!(value("PYTHONPATH").unwrap().starts_with(&*place.path("import").to_string_lossy()));
    let usual = [
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "HOME",
        "STATE_DIRECTORY",
        "TMPDIR",
        "KOZO_NODE",
        "KOZO_RUN",
        "PYTHONPATH",
        "MINE",
        // These the shell sets.
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    for line in printed.lines() {
        let name = line.split('=').next().unwrap();
        assert!(usual.contains(&name) || name.starts_with("LC_"), "{line}");
    }
}

#[tokio::test]
async fn nothing_of_the_node_is_open_and_no_right_comes_back() {
    let place = Place::new();
    let script = "ls /proc/self/fd | tr '\\n' ' '; grep -E '^(NoNewPrivs|SigBlk|SigIgn):' /proc/self/status; \
                  cat /proc/self/oom_score_adj; ulimit -c; ulimit -n; ulimit -d; \
                  ps -o sid= -p $$ | tr -d ' '; echo $$";
    let (printed, _) = place.run(script).await;
    let lines: Vec<_> = printed.lines().collect();
    // The fourth is the folder that ls itself reads.
    assert_eq!(lines[0], "0 1 2 3 SigBlk:\t0000000000000000", "{printed}");
    assert!(lines[1].starts_with("SigIgn:"));
    assert_eq!(lines[2], "NoNewPrivs:\t1");
    assert_eq!(&lines[3..7], ["1000", "0", "1024", "524288"]);
    assert_eq!(lines[7], lines[8], "it leads a session");
}

#[tokio::test]
async fn memory_is_limited() {
    let place = Place::new();
    let (printed, exit) = place.run("a=x; while :; do a=$a$a; done").await;
    assert_eq!(printed, "");
    assert!(!exit.is_success(), "{exit}");
    let (_, exit) = place.run("exec head -c 100M /dev/zero | tail -c 100M > /dev/null").await;
    assert_eq!(exit, Exit::Code(0), "what is below the limit works");
}

#[tokio::test]
async fn a_channel_is_descriptor_3_and_nothing_else_leads_to_the_node() {
    let place = Place::new();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
    let mut launch = shell(
        "ls /proc/self/fd >&3; readlink /proc/self/fd/0 >&3; echo $$ printed; read line <&3; echo $line >&3",
    );
    launch.channel = true;
    let stdin = Stdio::from(std::os::fd::OwnedFd::from(theirs));
    let mut process = place.launcher().start(&launch, stdin, Stdio::null()).unwrap();
    ours.write_all(b"heard\n").await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, ours.read_to_string(&mut said)).await.unwrap().unwrap();
    // The last one is the list itself.
    assert_eq!(said, "0\n1\n2\n3\n4\n/dev/null\nheard\n");
    let printed = format!("{} printed", process.pid());
    assert!(process.wait().await.is_success());
    assert_eq!(process.last_line(), printed);
}
