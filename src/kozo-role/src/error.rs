//! What can go wrong.

/// Why something that was asked of the Node did not come about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no Node any more, or it never was.
    #[error("the Node is gone: {0}")]
    Gone(String),
    /// The Node refuses.
    #[error("the Node refuses: {text} ({code})")]
    Refused {
        /// The code of JSON-RPC: -32000 for a Message, -32001 for what cannot be stored.
        code: i64,
        /// Why, for people.
        text: String,
    },
    /// A value that cannot be sent.
    #[error("this cannot be encoded: {0}")]
    Encode(String),
    /// A value that came is of another type than the one that was asked for.
    #[error("this cannot be decoded: {0}")]
    Decode(String),
    /// The Node said something that this version does not understand.
    #[error("the Node sent something invalid: {0}")]
    Protocol(String),
    /// The command line of the program is wrong, or it cannot attach.
    #[error("{0}")]
    Start(String),
}

/// What the function of a Role or the methods of a Transport may fail with. The Node shows its text.
pub type Failure = Box<dyn std::error::Error>;
