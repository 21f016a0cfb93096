//! What programs ask for: requests and notifications, read and checked, not yet carried out.

use std::borrow::Cow;

use kozo_core::value::show;
use rmpv::Value;

use crate::interest::Interest;
use crate::message::{Draft, Kind, MAX_NAME};
use crate::rpc::journal::{self, Level};
use crate::rpc::request::{self, Asked, Said};
use crate::rpc::{Fault, Part, code};

/// Patterns that a program may have as its interest.
pub(super) const MOST_PATTERNS: usize = 256;

/// Facts about the Node that can be subscribed to.
const FACTS: [&str; 1] = ["peers"];

/// The methods that a Node has for programs.
const METHODS: &str = "ready, interest, send, store, log, status and subscribe";

/// What a program wants done.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Its id, as it is encoded; a notification has none.
    pub(super) id: Option<&'a [u8]>,
    /// What it wants.
    pub(super) call: Call<'a>,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum Call<'a> {
    /// It works now.
    Ready,
    /// These Messages are wanted.
    Interest(Vec<Interest>),
    /// A Message is to be sent.
    Send(Sending<'a>),
    /// This is to be kept.
    Store(Value),
    /// A line for the journal.
    Log(Level, String),
    /// A line for those who look after the Role.
    Status(Option<String>),
    /// Peers that come and go are to be told of.
    Subscribe,
}

/// A Message that is to be sent.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    kind: Kind,
    message_type: Cow<'a, str>,
    channel: Option<Cow<'a, str>>,
    data: Cow<'a, [u8]>,
}

impl Sending<'_> {
    /// What the Node makes the Message of.
    pub(super) fn draft(&self) -> Draft<'_> {
        Draft::new(self.kind, &self.message_type)
            .channel(self.channel.as_deref())
            .encoded(&self.data)
    }
}

/// Reads what a program said. An answer asks for nothing: the Node has given no id.
pub(super) fn read<'a>(line: &Part<'a>) -> Result<Option<Request<'a>>, Fault> {
    let Said::Asked(asked) = request::read(line)? else { return Ok(None) };
    let call = call(&asked).map_err(|fault| asked.blame(fault))?;
    Ok(Some(Request { id: asked.id, call }))
}

fn call<'a>(params: &Asked<'a>) -> Result<Call<'a>, Fault> {
    match &*params.method()? {
        "ready" => params.pick([]).map(|[]| Call::Ready),
        "interest" => interest(params).map(Call::Interest),
        "send" => send(params).map(Call::Send),
        "store" => store(params).map(Call::Store),
        "log" => journal::log(params).map(|(level, text)| Call::Log(level, text)),
        "status" => journal::status(params).map(Call::Status),
        "subscribe" => subscribe(params).map(|()| Call::Subscribe),
        unknown => Err(params.unknown(unknown, METHODS)),
    }
}

fn interest(params: &Asked<'_>) -> Result<Vec<Interest>, Fault> {
    let [patterns] = params.pick(["patterns"])?;
    let patterns = params.needed(patterns, "patterns")?.items("patterns", MOST_PATTERNS)?;
    patterns.iter().map(pattern).collect()
}

fn pattern(pattern: &Part<'_>) -> Result<Interest, Fault> {
    const PARTS: [&str; 5] = ["kind", "type", "channel", "role", "node"];
    let mut interest = Interest::any();
    for (part, name) in pattern.pick(PARTS, code::INVALID_PARAMS)?.iter().zip(PARTS) {
        let Some(part) = part.and_then(Part::some) else { continue };
        let text = part.text(name)?;
        if text.len() > MAX_NAME {
            let text = format!("a pattern has at most {MAX_NAME} bytes");
            return Err(part.fault(code::INVALID_PARAMS, text));
        }
        interest.narrow(name, &text).map_err(|error| unknown_kind(&part, &error))?;
    }
    Ok(interest)
}

fn unknown_kind(part: &Part<'_>, error: &dyn std::error::Error) -> Fault {
    part.fault(code::INVALID_PARAMS, show::shown(&Value::from(error.to_string()), 200))
}

fn send<'a>(params: &Asked<'a>) -> Result<Sending<'a>, Fault> {
    let names = ["kind", "type", "channel", "data", "msgpack"];
    let [kind, message_type, channel, data, msgpack] = params.pick(names)?;
    let kind_part = params.needed(kind, "kind")?;
    let kind = kind_part.text("kind")?.parse::<Kind>();
    let kind = kind.map_err(|error| unknown_kind(&kind_part, &error))?;
    let message_type = match message_type {
        None if kind == Kind::Log => Cow::Borrowed("log"),
        other => params.needed(other, "type")?.text("type")?,
    };
    let channel = channel.and_then(Part::some).map(|channel| channel.text("channel"));
    let data = match (msgpack.and_then(Part::some), data) {
        (Some(msgpack), _) => msgpack.unpacked("msgpack")?,
        (None, Some(data)) => data.packed()?,
        (None, None) => Cow::Owned(crate::rpc::output::packed(&Value::Nil)),
    };
    Ok(Sending { kind, message_type, channel: channel.transpose()?, data })
}

fn store(params: &Asked<'_>) -> Result<Value, Fault> {
    let [value, msgpack] = params.pick(["value", "msgpack"])?;
    if let Some(msgpack) = msgpack.and_then(Part::some) {
        let bytes = msgpack.unpacked("msgpack")?;
        return crate::message::decode(&bytes)
            .map_err(|error| msgpack.fault(code::INVALID_PARAMS, error.to_string()));
    }
    params.needed(value, "value")?.value()
}

fn subscribe(params: &Asked<'_>) -> Result<(), Fault> {
    let [facts] = params.pick(["facts"])?;
    for fact in params.needed(facts, "facts")?.items("facts", 16)? {
        if !FACTS.contains(&&*fact.text("a fact")?) {
            let text = format!("facts are {}", FACTS.join(", "));
            return Err(fact.fault(code::INVALID_PARAMS, text));
        }
    }
    Ok(())
}
