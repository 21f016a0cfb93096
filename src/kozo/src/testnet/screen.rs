//! What is shown: the lines of all Nodes, each behind the name of its Node.

use std::io::{self, BufWriter, Write};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Longer lines are shown in pieces of this many bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// Lines that wait to be shown; then the Nodes wait.
const WAITING: usize = 256;

/// Colours of the Nodes, as ANSI codes. Red is what errors are.
const COLOURS: &[u8] = &[36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// A line to show.
pub(super) struct Line {
    /// Which Node it is of, counted from 0; none for a line of the testnet itself.
    pub(super) node: Option<usize>,
    /// Its bytes, without the end of the line.
    pub(super) text: Vec<u8>,
}

/// Starts to show lines. The receiver gets what became of it once all senders are gone, or as soon as
/// nothing more can be written.
///
/// A thread of its own writes them: a terminal that is stopped (Ctrl-S) must stop nothing else, and
/// the process can end without it.
pub(super) fn start(
    nodes: &[String],
    colour: bool,
    out: impl Write + Send + 'static,
) -> io::Result<(mpsc::Sender<Line>, oneshot::Receiver<io::Result<()>>)> {
    let prefixes = prefixes(nodes, colour);
    let (sender, receiver) = mpsc::channel(WAITING);
    let (result, written) = oneshot::channel();
    std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
        // It is not waited for when the process is about to end anyway.
        let _ = result.send(show(receiver, &prefixes, out));
    })?;
    Ok((sender, written))
}

fn show(mut lines: mpsc::Receiver<Line>, prefixes: &[String], out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    while let Some(line) = lines.blocking_recv() {
        put(&mut out, prefixes, &line)?;
        while let Ok(line) = lines.try_recv() {
            put(&mut out, prefixes, &line)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn put(out: &mut impl Write, prefixes: &[String], line: &Line) -> io::Result<()> {
    if let Some(prefix) = line.node.and_then(|node| prefixes.get(node)) {
        out.write_all(prefix.as_bytes())?;
    }
    out.write_all(&line.text)?;
    out.write_all(b"\n")
}

/// What is in front of the lines of each Node: the name, as wide as the longest, and a bar.
fn prefixes(nodes: &[String], colour: bool) -> Vec<String> {
    let width = nodes.iter().map(|name| name.len()).max().unwrap_or(0);
    let colours = COLOURS.iter().cycle();
    let prefix = |(name, code): (&String, &u8)| {
        let text = format!("{name:width$} |");
        if colour { format!("\x1b[{code}m{text}\x1b[0m ") } else { format!("{text} ") }
    };
    nodes.iter().zip(colours).map(prefix).collect()
}

/// Shows what a Node writes, until the end or until nothing is shown any more.
pub(super) async fn copy(node: usize, from: impl AsyncRead + Unpin, to: mpsc::Sender<Line>) {
    let mut from = BufReader::new(from);
    let mut text = Vec::new();
    // Whether `text` goes on with a line of which a piece is shown already.
    let mut cut = false;
    loop {
        let read = match from.fill_buf().await {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if read.is_empty() {
            break;
        }
        let room = read.get(..LONGEST - text.len()).unwrap_or(read);
        let end = room.iter().position(|byte| *byte == b'\n');
        let line = room.get(..end.unwrap_or(room.len())).unwrap_or(room);
        text.extend_from_slice(line);
        let used = line.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_none() && text.len() < LONGEST {
            continue;
        }
        // What follows a piece may be no more than the end of the line.
        let nothing = cut && text.is_empty();
        cut = end.is_none();
        let text = std::mem::take(&mut text);
        if !nothing && to.send(Line { node: Some(node), text }).await.is_err() {
            return;
        }
    }
    if !text.is_empty() {
        // When nothing is shown any more, neither is this.
        let _ = to.send(Line { node: Some(node), text }).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    async fn copied(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (sender, mut receiver) = mpsc::channel::<Line>(1);
        let lines = async {
            let mut lines = Vec::new();
            while let Some(line) = receiver.recv().await {
                assert_eq!(line.node, Some(7));
                lines.push(line.text);
            }
            lines
        };
        tokio::join!(copy(7, bytes, sender), lines).1
    }

    #[tokio::test]
    async fn lines_are_found() {
        assert_eq!(copied(b"").await, [b""; 0]);
        assert_eq!(
            copied(b"one\n\ntwo\xff\nthree").await,
            [&b"one"[..], b"", b"two\xff", b"three"]
        );
    }

    #[tokio::test]
    async fn long_lines_come_in_pieces() {
        for extra in [0, 1, LONGEST - 1, LONGEST, LONGEST + 1] {
            let mut bytes = vec![b'x'; LONGEST + extra];
            bytes.extend_from_slice(b"\n\nnext\n");
            let lines = copied(&bytes).await;
            assert!(lines.iter().all(|line| line.len() <= LONGEST), "{extra}");
            assert_eq!(lines[lines.len() - 2..], [b"".to_vec(), b"next".to_vec()], "{extra}");
            let pieces = &lines[..lines.len() - 2];
            assert_eq!(pieces.len(), (LONGEST + extra).div_ceil(LONGEST), "{extra}");
            assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), LONGEST + extra);
        }
    }

    #[test]
    fn names_are_aligned_and_coloured_if_wanted() {
        let nodes = ["clock".to_owned(), "injector".to_owned()];
        assert_eq!(prefixes(&nodes, false), ["clock    | ", "injector | "]);
        let coloured = prefixes(&nodes, true);
        assert_eq!(coloured[0], "\x1b[36mclock    |\x1b[0m ");
        assert_ne!(coloured[0][..5], coloured[1][..5]);
        assert_eq!(prefixes(&vec!["node".to_owned(); 100], true).len(), 100);
    }

    #[tokio::test]
    async fn an_output_that_is_gone_is_reported() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (sender, written) = start(&[], false, writer).unwrap();
        sender.send(Line { node: None, text: b"line".to_vec() }).await.ok().unwrap();
        let error = written.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
