//! A directory of virtual actors in Erleans' manner.
//!
//! A virtual actor is always there: whoever asks it anything, on any node, has it activated on some
//! node if it is nowhere, and its node's death is noticed by nobody but for a while. Identifiers
//! are spread over [`SLOTS`]; a silo may serve a slot once more than half of the voters have given
//! it their votes, which hold for the length of a lease and are renewed while the slot is used.
//! Erleans asks a registry that is only in the end the same everywhere, and so may have an actor
//! twice; votes cost a round trip at the first use of a slot, and rule that out.
//!
//! **Promised**, whatever happens to nodes and connections:
//! 1. In all of the cluster at most one activation of an identifier answers at any moment: once
//!    one has answered, none that was active before it ever does. That holds during partitions,
//!    pauses and restarts as well, as long as all clocks run equally fast.
//! 2. While more than half of the voters live and reach each other, each identifier can be reached
//!    from each of them. When the node of one dies, it is active elsewhere once the lease is over,
//!    and at the first request after that.
//! 3. **Under a partition** the side with more than half of the voters goes on, and takes over what
//!    was active on the other once the leases are over. The other side answers until they are,
//!    and then nothing: whoever asks there is told [`SiloReply::Unavailable`], or waits in vain. If
//!    no side has so many, nobody is served until they find each other again.
//!
//! **Not promised:** that a request whose caller heard nothing was not done; that an activation
//! remembers what an earlier one knew; anything on overlays where nodes are not connected to each
//! other, since votes go straight to the voters. A process that is stopped in the midst of a step
//! may finish that step late. Voters keep their votes in memory, and give none for the
//! length of a lease after their start. The set of voters does not change.

mod activation;
mod silo;
mod trial;
mod votes;

pub use activation::{Grain, Task};
pub use silo::{Job, Silo, SiloCall, SiloCast, SiloOptions, SiloReply};
pub use trial::{Counter, Trial};
pub use votes::{Denied, SLOTS, Slot, Votes};

use partisan_proto::ProcessName;

/// The name of the silo on each node.
pub const NAME: &str = "silo";

/// The name of the silo.
#[must_use]
pub fn server_name() -> ProcessName {
    super::process_name(NAME)
}
