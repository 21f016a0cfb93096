//! When Nodes connect, and what that is called.

/// When a Node connects to another, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectPolicy {
    /// The connection is kept at all times.
    Constant,
    /// The connection is made when there is a Message to send.
    OnDemand,
    /// No connection, and no Messages.
    Never,
}

impl ConnectPolicy {
    /// All policies.
    pub const ALL: [ConnectPolicy; 3] =
        [ConnectPolicy::Constant, ConnectPolicy::OnDemand, ConnectPolicy::Never];

    /// Its name, in the configuration and in all interfaces.
    pub fn name(self) -> &'static str {
        match self {
            ConnectPolicy::Constant => "constant",
            ConnectPolicy::OnDemand => "ondemand",
            ConnectPolicy::Never => "never",
        }
    }

    /// The policy of this name, if there is one.
    pub fn from_name(name: &str) -> Option<ConnectPolicy> {
        ConnectPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
