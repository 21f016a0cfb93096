//! What is wrong with what a program said.

use kozo_core::pack;

/// Codes of errors: those of JSON-RPC, and from -32000 on ours.
pub(crate) mod code {
    /// The line is not JSON, or not MessagePack.
    pub(crate) const PARSE: i32 = -32700;
    /// It is no request.
    pub(crate) const INVALID_REQUEST: i32 = -32600;
    /// There is no such method.
    pub(crate) const NO_METHOD: i32 = -32601;
    /// Its parameters make no sense.
    pub(crate) const INVALID_PARAMS: i32 = -32602;
    /// The Message is refused.
    pub(crate) const REFUSED: i32 = -32000;
    /// The value cannot be stored.
    pub(crate) const NOT_STORED: i32 = -32001;
}

/// What is wrong with what a program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its number, see [`code`].
    pub(crate) code: i32,
    /// How many bytes of the line are before it.
    pub(crate) at: Option<usize>,
    /// The id of the request, as it was encoded.
    pub(crate) id: Option<Vec<u8>>,
    /// What is wrong.
    pub(crate) text: String,
}

impl Fault {
    /// Something about the line as a whole.
    pub(crate) fn new(code: i32, text: impl Into<String>) -> Fault {
        Fault { code, at: None, id: None, text: text.into() }
    }

    /// What [`pack`] found.
    pub(crate) fn malformed(problem: &pack::Problem) -> Fault {
        Fault::new(code::PARSE, format!("this is not MessagePack: {problem}"))
    }
}
