//! What a link's state machine is told, what it says, and what it goes by.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::ConnectPolicy;
pub use crate::status::{LinkState, LinkSubState as State};
use crate::transport::Priority;

/// A session, unique in this run of the daemon.
pub type SessionId = u64;

/// The parts of the configuration that decide.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether this side decides which session is used.
    pub decider: bool,
    /// Policy for Messages from here to there: whether this side dials.
    pub outward: ConnectPolicy,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Longest pause between attempts.
    pub retry: Duration,
    /// The best priority at which the Peer might be reached, if it can be dialled at all.
    pub best: Option<Priority>,
    /// The first attempt is made within this time, to spread the load of many links.
    pub spread: Duration,
}

/// A session that is established, as far as the decision goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub id: SessionId,
    /// Priority of the Transport that carries it.
    pub priority: Priority,
    /// The Peer's run that it leads to.
    pub boot: u64,
    /// Whether this side dialled it.
    pub dialled: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link begins.
    Start,
    /// A Message waits for the link.
    Wanted,
    /// An attempt came to nothing.
    DialFailed,
    /// An attempt led to a Node that refused it, or that this side refused: the next one will hardly do
    /// better.
    DialRefused,
    /// A session was made, by either side.
    Ready(Offer),
    /// The decider chose this session.
    Use(SessionId),
    /// The Peer sends no more Messages on this session.
    Finish(SessionId),
    /// The Peer has taken all that this side sent before its finish.
    Finished(SessionId),
    /// The Peer answered a heartbeat on this session.
    Echo(SessionId),
    /// The session is over.
    Ended(SessionId),
    /// The Peer wanted no session with this run of this Node, and has closed it.
    TurnedAway(SessionId),
    /// Time has passed.
    Time {
        /// When bytes came last on the session in use.
        heard: Option<Instant>,
    },
    /// By request: try at once.
    Connect,
    /// By request: finish, close, and take no session until [`Event::Connect`].
    Disconnect,
    /// The link ends: finish and close.
    Stop(End),
}

/// How a link ends for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The Node stops: what is queued goes out first.
    Stop,
    /// Another link to the Peer takes its place, and what is queued.
    Replace,
    /// The Peer is no longer let in as it was: at once.
    Revoke,
}

impl End {
    /// What the Peer is told.
    pub fn reason(self) -> Reason {
        match self {
            End::Stop => Reason::Stopping,
            End::Replace => Reason::Replaced,
            End::Revoke => Reason::Revoked,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try to connect, by Transports better than this one if one is given.
    Dial(Option<Priority>),
    /// Give up the attempt under way.
    StopDialling,
    /// Say on this session that it is the one to use.
    SayUse(SessionId),
    /// Send Messages on this session from now on.
    Activate(SessionId),
    /// Send no more Messages on this session and say so; first those that are queued, if `drain`.
    Finish {
        /// Which session.
        id: SessionId,
        /// Whether the queue is to be sent first.
        drain: bool,
    },
    /// Send a heartbeat on this session.
    Heartbeat(SessionId),
    /// Close this session.
    Close(SessionId, Reason),
}

/// Why a session is closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was heard for three heartbeats.
    Silent,
    /// Another session is in use and works.
    Duplicate,
    /// The decider did not choose it in time.
    Undecided,
    /// Messages flow on another session now.
    Moved,
    /// It leads to an earlier run of the Peer.
    Restarted,
    /// It leads to a run of the Peer that another one, which is still there, has replaced.
    Twin,
    /// By request.
    Asked,
    /// This Node stops.
    Stopping,
    /// Another configuration asks for another session.
    Replaced,
    /// Another configuration does not let the Peer in, or not as it was let in.
    Revoked,
}

impl Reason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Silent => "nothing received for three heartbeats",
            Reason::Duplicate => "another session is in use",
            Reason::Undecided => "the peer did not choose this session",
            Reason::Moved => "another session has taken over",
            Reason::Restarted => "the peer has restarted",
            Reason::Twin => "another machine runs as this node, with its key",
            Reason::Asked => "closed by request",
            Reason::Stopping => "shutting down",
            Reason::Replaced => "the configuration has changed",
            Reason::Revoked => "the configuration no longer allows it",
        }
    }
}
