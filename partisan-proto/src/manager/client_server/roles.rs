//! Roles, and who may be connected to whom.

use crate::config::ClientServerConfig;
use crate::spec::NodeSpec;

/// What a node's tags make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Connected to every server, and to clients.
    Server,
    /// Connected to servers alone.
    Client,
    /// Neither, or both: has no place here.
    Other,
}

impl Role {
    /// The role of a node.
    #[must_use]
    pub fn of(spec: &NodeSpec, config: &ClientServerConfig) -> Self {
        let has = |tag| spec.tags().contains(tag);
        match (has(&config.server_tag), has(&config.client_tag)) {
            (true, false) => Self::Server,
            (false, true) => Self::Client,
            (true, true) | (false, false) => Self::Other,
        }
    }
}

/// What becomes of a connection between two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It may be.
    Accept,
    /// It ends, after the servers have been named to join instead.
    Refer,
    /// It is refused.
    Refuse,
}

/// What becomes of a connection, by both ends' roles: total and symmetric.
///
/// | | server | client | other |
/// |---|---|---|---|
/// | server | accept | accept | refuse |
/// | client | accept | refer | refuse |
/// | other | refuse | refuse | refuse |
#[must_use]
pub const fn acceptance(ours: Role, theirs: Role) -> Acceptance {
    match (ours, theirs) {
        (Role::Server, Role::Server | Role::Client) | (Role::Client, Role::Server) => {
            Acceptance::Accept
        }
        (Role::Client, Role::Client) => Acceptance::Refer,
        (Role::Other, _) | (_, Role::Other) => Acceptance::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Role; 3] = [Role::Server, Role::Client, Role::Other];

    #[test]
    fn the_matrix_is_total_and_symmetric() {
        let accepted = ALL.into_iter().flat_map(|ours| ALL.map(|theirs| (ours, theirs)));
        for (ours, theirs) in accepted {
            assert_eq!(acceptance(ours, theirs), acceptance(theirs, ours), "{ours:?} {theirs:?}");
            let servers = [ours, theirs].iter().filter(|role| **role == Role::Server).count();
            let strangers = [ours, theirs].contains(&Role::Other);
            let expected = match (strangers, servers) {
                (true, _) => Acceptance::Refuse,
                (false, 0) => Acceptance::Refer,
                (false, _) => Acceptance::Accept,
            };
            assert_eq!(acceptance(ours, theirs), expected, "{ours:?} {theirs:?}");
        }
    }
}
