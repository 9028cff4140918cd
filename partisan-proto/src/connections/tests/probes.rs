//! Sessions that are not meant to last, and round trips measured on request.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::net::{Keeper, Net, Shared, address, spec};
use crate::change::{Change, ContactId};
use crate::command::{Command, Contact};
use crate::config::Config;
use crate::error::{CloseReason, OpenError};
use crate::id::{Incarnation, Instance};
use crate::notification::DialError;
use crate::time::Duration;
use crate::timers::Timer;

/// Some nodes, of which the first does what is wished.
struct Wisher {
    net: Net,
    wishes: Shared<Change>,
    told: Shared<Change>,
}

impl Wisher {
    fn with(others: usize) -> Self {
        let (mut net, wishes, told) = (Net::new(), Shared::default(), Shared::default());
        let keeper =
            Keeper { wishes: Arc::clone(&wishes), told: Arc::clone(&told), ..Keeper::default() };
        net.add(&Config::default(), 1, keeper);
        for _ in 0..others {
            net.add(&Config::default(), 1, Keeper::default());
        }
        Self { net, wishes, told }
    }

    /// Does this; says what was told in the meantime.
    fn wish(&mut self, change: Change) -> Vec<Change> {
        self.wishes.lock().unwrap().push(change);
        self.net.command(0, Command::UpdateMembers(vec![]));
        self.net.settle();
        core::mem::take(&mut *self.told.lock().unwrap())
    }

    fn probe(&mut self, other: usize) -> Vec<Change> {
        let (instance, spec) = known(other);
        let told = self.wish(Change::Probe { instance, spec });
        self.net.run_for(Duration::from_millis(1));
        [told, core::mem::take(&mut *self.told.lock().unwrap())].concat()
    }
}

fn known(node: usize) -> (Instance, Arc<crate::NodeSpec>) {
    let spec = Arc::new(spec(node, &Config::default()));
    (Instance { node: spec.id(), incarnation: Incarnation(1) }, spec)
}

#[test]
fn a_probe_opens_the_membership_channel_alone_and_keeping_the_peer_the_others() {
    let mut wisher = Wisher::with(1);
    let told = wisher.probe(1);
    assert!(matches!(told[..], [Change::PeerUp { contact: None, .. }]), "{told:?}");
    assert_eq!(wisher.net.links(), 1);
    // Nor does looking after the connections open them.
    wisher.wish(Change::Verify);
    assert_eq!(wisher.net.links(), 1);
    let (instance, spec) = known(1);
    wisher.wish(Change::Keep { instance, spec, patient: false });
    assert!(wisher.net.joined(0, 1));
    assert_eq!(wisher.net.links(), 2);
}

#[test]
fn a_probe_of_a_connected_peer_is_told_so_at_once() {
    let mut wisher = Wisher::with(1);
    wisher.probe(1);
    let told = wisher.probe(1);
    assert!(matches!(told[..], [Change::PeerUp { .. }]), "{told:?}");
    assert_eq!(wisher.net.links(), 1);
}

#[test]
fn a_probe_that_fails_is_told_once_and_not_repeated() {
    let mut wisher = Wisher::with(1);
    wisher.net.crash(1);
    let told = wisher.probe(1);
    let (node, error) = (wisher.net.id(1), DialError::Open(OpenError::Refused));
    assert_eq!(told, [Change::ProbeFailed { node, error }]);
    wisher.net.run_for(Duration::from_secs(120));
    assert_eq!(wisher.net.node(0).counters().dialled, 1);
    assert_eq!(wisher.net.node(0).peer(node), None, "it is forgotten");
}

#[test]
fn a_probed_session_that_is_lost_is_not_dialled_again() {
    let mut wisher = Wisher::with(1);
    wisher.probe(1);
    wisher.net.cut(|_, _| true);
    wisher.net.run_for(Duration::from_secs(120));
    assert_eq!(wisher.net.node(0).counters().dialled, 1);
    assert_eq!(wisher.net.node(0).peer(wisher.net.id(1)), None);
}

#[test]
fn a_released_probe_ends_at_both_ends() {
    let mut wisher = Wisher::with(1);
    wisher.probe(1);
    let node = wisher.net.id(1);
    wisher.wish(Change::Release { node, reason: CloseReason::NotWanted });
    assert_eq!(wisher.net.links(), 0);
    assert!(wisher.net.node(1).routes().peer(wisher.net.id(0)).is_none());
}

#[test]
fn a_contact_may_be_connected_by_the_membership_channel_alone() {
    let mut wisher = Wisher::with(1);
    let (contact, target) = (ContactId(7), Contact::at(address(1)));
    let told = wisher.wish(Change::DialContact { contact, target, lanes: false, failures: 0 });
    let reached = |change: &Change| matches!(change, Change::PeerUp { contact: Some(c), .. } if *c == contact);
    assert!(told.iter().any(reached), "{told:?}");
    assert_eq!(wisher.net.links(), 1);
}

#[test]
fn a_contact_that_was_reached_in_vain_before_is_dialled_later() {
    let mut wisher = Wisher::with(1);
    let (contact, target) = (ContactId(7), Contact::at(address(1)));
    wisher.wish(Change::DialContact { contact, target, lanes: false, failures: 3 });
    assert_eq!(wisher.net.links(), 0);
    let due = wisher.net.node(0).timers().find(|(_, timer)| *timer == Timer::DialContact(7));
    let (wait, least) =
        (due.unwrap().0.since(wisher.net.now), Config::default().connections.retry_least);
    assert!((2 * least..=4 * least).contains(&wait), "{wait:?}");
    wisher.net.run_for(4 * least);
    assert_eq!(wisher.net.links(), 1);
}

#[test]
fn a_measurement_tells_the_round_trip() {
    let mut wisher = Wisher::with(1);
    wisher.probe(1);
    let node = wisher.net.id(1);
    let told = wisher.wish(Change::Measure { node });
    assert_eq!(told, [Change::RoundTrip { node, span: Duration::ZERO }]);
    assert_eq!(wisher.net.node(0).peer(node).unwrap().round_trip, Some(Duration::ZERO));
}

#[test]
fn an_unanswered_measurement_is_no_reproach() {
    let mut wisher = Wisher::with(1);
    wisher.probe(1);
    let node = wisher.net.id(1);
    wisher.net.mute.push(1);
    for _ in 0..10 {
        assert_eq!(wisher.wish(Change::Measure { node }), []);
    }
    wisher.net.mute.clear();
    // Keep-alive has not counted them: its own pings find the peer well.
    wisher.net.run_for(Duration::from_secs(200));
    assert!(wisher.net.node(0).routes().peer(node).is_some());
}
