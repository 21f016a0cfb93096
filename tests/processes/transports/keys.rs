//! Signatures: those of OpenSSH, in a namespace of their own.

use std::fs;
use std::process::{Command, Stdio};

use super::Tried;

#[tokio::test]
async fn what_the_node_signs_ssh_keygen_verifies_and_so_does_the_node() {
    let tried = Tried::new(
        r"
answer(hear(), {})
def ask(id, method, **params):
    tell(id=id, method=method, params=params)
    return hear()
data = base64.b64encode(b'who are you?').decode()
signature = ask(1, 'sign', data=data)['result']['signature']
open('signature', 'w').write(signature)
def verify(node, data, signature):
    return ask(2, 'verify', node=node, data=data, signature=signature)['result']
other = base64.b64encode(b'who am I?').decode()
results = [
    verify('clock', data, signature),
    verify('clock', other, signature),
    verify('nobody', data, signature),
    verify('clock', data, 'no signature'),
]
begun = time.monotonic()
for id in range(10, 40):
    tell(id=id, method='sign', params={'data': data})
answers = [hear() for _ in range(10, 40)]
refused = [a['error']['message'] for a in answers if 'error' in a]
assert set(refused) == {'16 signatures are already waiting'} and len(refused) >= 10, answers
assert time.monotonic() - begun > 0.1 * (len(answers) - len(refused) - 2)
open('results', 'w').write(json.dumps(results))
status('done')
hear()
",
        |_| {},
    );
    let _listener = tried.listen().await;
    tried.until_said("done").await;
    let own = |name: &str| tried.place.path("storage/air.transport").join(name);
    let results = fs::read_to_string(own("results")).unwrap();
    assert_eq!(results, "[true, false, false, false]");

    let key = &tried.public_key;
    fs::write(tried.place.path("allowed"), format!("clock {key}\n")).unwrap();
    fs::write(tried.place.path("data"), "who are you?").unwrap();
    let verify = |namespace: &str| {
        let data = fs::File::open(tried.place.path("data")).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", "clock", "-n", namespace]);
        command.arg("-f").arg(tried.place.path("allowed")).arg("-s").arg(own("signature"));
        let status = command.stdin(data).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().success()
    };
    assert!(verify("kozo-transport"));
    assert!(!verify("file"));
}
