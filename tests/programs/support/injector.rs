//! Numbered Messages: injected into one Node, printed by the `cuckoo` of another.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::output::Output;
use super::{SystemFolder, until};

/// Where the injectors of the tests listen, on their Nodes' addresses.
const PORT: u16 = 7050;

/// The Role of [`Injector`]; `ADDRESS` is not yet known where Roles are written down.
pub const INJECTOR: &str = "injector: {type: message_injector, log: false, bindAddress: ADDRESS}";

/// A connection to a Node's `message_injector`.
pub struct Injector {
    stream: BufReader<TcpStream>,
}

impl Injector {
    /// Connects as soon as the Node listens.
    pub fn connect(system: &SystemFolder, node: &str) -> Injector {
        let address = (system.address(node).to_owned(), PORT);
        let stream = until("connected to the injector", || TcpStream::connect(&address).ok());
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        Injector { stream: BufReader::new(stream) }
    }

    /// Sends a line and gives the answer to it.
    pub fn say(&mut self, line: &str) -> String {
        self.write(&format!("{line}\n"));
        self.answer()
    }

    /// Sends an event with this number, which cuckoos print.
    pub fn number(&mut self, number: u64) -> String {
        self.say(&numbered(number))
    }

    /// Sends events with these numbers, without waiting for answers.
    pub fn numbers(&mut self, numbers: impl Iterator<Item = u64>) {
        let lines: String = numbers.map(|number| numbered(number) + "\n").collect();
        self.write(&lines);
    }

    /// The next answer.
    pub fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.stream.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }
}

fn numbered(number: u64) -> String {
    format!("('event', 'tick', None, [None, {number}])")
}

/// The numbers that a cuckoo has printed so far.
pub fn numbers(printed: &Output) -> Vec<u64> {
    let text = printed.text();
    let ticks = text.lines().filter_map(|line| line.strip_prefix("Cuckoo! injector@"));
    ticks.filter_map(|tick| tick.split_once(": ")?.1.parse().ok()).collect()
}
