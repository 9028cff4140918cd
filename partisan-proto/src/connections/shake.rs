//! Leads each connection through its [handshake](super::handshake).

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::handshake::{
    Opening, Step, check_hello, check_life, check_proof, hello, proof, refusal_proof, slot_of,
};
use super::{Connection, Connections, Origin, Shaking, Slot, Stage};
use crate::action::Action;
use crate::change::Change;
use crate::context::Context;
use crate::error::{CloseReason, Misbehaviour, Refusal};
use crate::id::{ConnectionId, Epoch, NodeId};
use crate::notification::Notification;
use crate::spec::NodeSpec;
use crate::timers::Timer;
use crate::wire::{Accept, Confirm, ControlMessage, Frame, Hello, Proof, Refuse, Role};

impl Connections {
    /// A dialled connection is open: say hello.
    pub(crate) fn opened(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(Stage::Opening(origin)) = self.table.get(&id).map(|found| &found.stage) else {
            return;
        };
        let opening = match *origin {
            Origin::For(slot) => self.opening(slot),
            Origin::ForContact(contact) => {
                let name = self.contacts.get(&contact).and_then(|dial| dial.target.name.as_ref());
                let expected = name.map(|name| name.id());
                expected.map_or_else(Opening::to_anybody, |node| self.opening(Slot::anchor(node)))
            }
            Origin::Accepted => return,
        };
        let ours = hello(cx.me, cx.config, Role::Connector, &opening, self.nonces.draw());
        cx.send_on(id, Frame::Hello(Box::new(ours.clone())));
        self.set_step(id, Step::ExpectHello(ours));
        cx.set_timer(Timer::EndHandshake(id), cx.config.connections.handshake_timeout);
    }

    /// What our hello for this slot says.
    fn opening(&self, slot: Slot) -> Opening {
        let epoch = self.peers.get(slot.node).map_or(Epoch(0), |peer| peer.last_epoch);
        Opening { channel: slot.channel, lane: slot.lane, epoch, expected: Some(slot.node) }
    }

    fn set_step(&mut self, id: ConnectionId, step: Step) {
        let Some(connection) = self.table.get_mut(&id) else {
            return;
        };
        match &mut connection.stage {
            Stage::Opening(origin) => {
                let origin = *origin;
                connection.stage = Stage::Shaking(Box::new(Shaking { origin, step }));
            }
            Stage::Shaking(shaking) => shaking.step = step,
            Stage::Open(_) => {}
        }
    }

    /// Takes the step out, so that its hellos need no copies. Whoever takes it puts the next one in
    /// its place, or the same: a refusal looks there for whom it refuses.
    fn take_step(&mut self, id: ConnectionId) -> Option<Step> {
        match &mut self.table.get_mut(&id)?.stage {
            Stage::Shaking(shaking) => {
                Some(core::mem::replace(&mut shaking.step, Step::ExpectFirstHello))
            }
            Stage::Opening(_) | Stage::Open(_) => None,
        }
    }

    /// Goes on to the step of both hellos, or stays at that of the first.
    fn follow(
        &mut self,
        id: ConnectionId,
        result: Result<Hello, Stop>,
        first: Hello,
        next: fn(Hello, Hello) -> Step,
        same: fn(Hello) -> Step,
    ) -> Result<(), Stop> {
        let (step, result) = match result {
            Ok(second) => (next(first, second), Ok(())),
            Err(stop) => (same(first), Err(stop)),
        };
        self.set_step(id, step);
        result
    }

    /// A frame arrived during the handshake.
    pub(super) fn shake(&mut self, cx: &mut Context<'_>, id: ConnectionId, frame: Frame) {
        let Some(step) = self.take_step(id) else {
            return;
        };
        let result = match (step, frame) {
            (Step::ExpectFirstHello, Frame::Hello(theirs)) if theirs.role == Role::Connector => {
                let result = self.first_hello(cx, id, &theirs);
                self.follow(id, result, *theirs, Step::ExpectConfirm, Step::Heard)
            }
            (Step::ExpectHello(ours), Frame::Hello(theirs)) if theirs.role == Role::Acceptor => {
                let result = self.second_hello(cx, id, &ours, &theirs).map(|()| *theirs);
                self.follow(id, result, ours, Step::ExpectAccept, Step::ExpectHello)
            }
            (Step::ExpectConfirm(first, second), Frame::Control(ControlMessage::Confirm(it))) => {
                match self.confirmed(cx, id, &first, &second, *it) {
                    Ok(Some((proof, spec))) => {
                        self.set_step(id, Step::Knocking(first, proof, spec));
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(stop) => {
                        self.set_step(id, Step::ExpectConfirm(first, second));
                        Err(stop)
                    }
                }
            }
            (Step::ExpectAccept(first, second), Frame::Control(ControlMessage::Accept(it))) => {
                let result = self.accepted_by_peer(cx, id, &first, &second, *it);
                if result.is_err() {
                    self.set_step(id, Step::ExpectAccept(first, second));
                }
                result
            }
            (step, Frame::Refuse(refuse)) => return self.refused_by_peer(cx, id, &step, refuse),
            (step, _) => {
                self.set_step(id, step);
                Err(Stop::Misbehaved(Misbehaviour::OutOfTurn))
            }
        };
        match result {
            Ok(()) => {}
            Err(Stop::Refuse(refusal)) => self.refuse(cx, id, refusal),
            Err(Stop::Misbehaved(misbehaviour)) => self.misbehaved(cx, id, misbehaviour),
            Err(Stop::Surplus) => self.surplus(cx, id),
        }
    }

    /// Acceptor, first step: who is there? Gives our hello, which is sent.
    fn first_hello(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        theirs: &Hello,
    ) -> Result<Hello, Stop> {
        self.check_theirs(cx, theirs)?;
        if theirs.expected.is_some_and(|node| node != cx.me.instance.node) {
            return Err(Stop::Refuse(Refusal::UnexpectedPeer));
        }
        if cx.me.stopping {
            return Err(Stop::Refuse(Refusal::Stopping));
        }
        let slot = slot_of(cx.config, theirs)?;
        match self.check_slot(slot, theirs) {
            // Our hello tells it, if it has the same session; else it may first prove who it is.
            Err(Stop::Refuse(Refusal::AlreadyConnected)) => {}
            verdict => verdict?,
        }
        let opening = self.opening(slot);
        let ours = hello(cx.me, cx.config, Role::Acceptor, &opening, self.nonces.draw());
        cx.send_on(id, Frame::Hello(Box::new(ours.clone())));
        Ok(ours)
    }

    /// Connector, second step: is it whom we dialled?
    fn second_hello(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        ours: &Hello,
        theirs: &Hello,
    ) -> Result<(), Stop> {
        self.check_theirs(cx, theirs)?;
        let slot = self.dialled_slot(id, theirs)?;
        if theirs.channel != ours.channel || theirs.lane != ours.lane {
            return Err(Stop::Misbehaved(Misbehaviour::OutOfTurn));
        }
        let known = self.peers.get(slot.node);
        if let Some(peer) = known {
            check_life(theirs.incarnation, peer.incarnation)?;
            if *peer.spec.name() != theirs.name {
                return Err(Stop::Refuse(Refusal::IdentifierCollision));
            }
        }
        let session = known.and_then(|peer| peer.session.as_ref());
        let present = session.is_some_and(|session| session.instance == theirs.instance());
        match (slot.is_anchor(), present) {
            (true, true) => return Err(Stop::Surplus),
            (false, false) => return Err(Stop::Refuse(Refusal::NoSession)),
            (true, false) | (false, true) => {}
        }
        let proof = proof(cx.config.secret.as_ref(), Role::Connector, ours, theirs);
        let spec = slot.is_anchor().then(|| cx.me.spec.clone());
        let origin = self.table.get(&id).and_then(Connection::origin);
        let known = match origin {
            Some(Origin::For(_)) => known.map(|peer| peer.incarnation),
            Some(Origin::ForContact(_) | Origin::Accepted) | None => None,
        };
        let confirm = Confirm { proof, spec, known };
        let confirm = ControlMessage::Confirm(Box::new(confirm));
        cx.send_on(id, Frame::Control(confirm));
        Ok(())
    }

    /// Acceptor, third step: the peer is who it says. For an anchor, gives our proof and its spec:
    /// the manager is asked.
    fn confirmed(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        first: &Hello,
        second: &Hello,
        confirm: Confirm,
    ) -> Result<Option<Knocking>, Stop> {
        let secret = cx.config.secret.as_ref();
        check_proof(proof(secret, Role::Connector, first, second), confirm.proof)?;
        let slot = slot_of(cx.config, first)?;
        // Much may have changed since the hello.
        let verdict = self.check_slot(slot, first);
        if let Err(Stop::Refuse(Refusal::AlreadyConnected)) = verdict {
            self.suspect(cx, slot.node);
        }
        verdict?;
        let proof = proof(secret, Role::Acceptor, first, second);
        if !slot.is_anchor() {
            self.send_accept(cx, id, proof, None, first.epoch);
            self.begin_lane(cx, id, slot);
            return Ok(None);
        }
        let spec = check_spec(confirm.spec, first)?;
        if cx.me.instance.node < slot.node && self.is_shaking_with(slot.node) {
            return Err(Stop::Refuse(Refusal::SimultaneousDial));
        }
        let instance = first.instance();
        let knock =
            Change::Knock { connection: id, instance, spec: spec.clone(), known: confirm.known };
        cx.change(knock);
        Ok(Some((proof, spec)))
    }

    /// The manager lets the knocking peer in.
    pub(super) fn admit(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let (theirs, proof, spec) = match self.take_step(id) {
            Some(Step::Knocking(theirs, proof, spec)) => (theirs, proof, spec),
            Some(other) => return self.set_step(id, other),
            None => return,
        };
        let last = self.peers.get(spec.id()).map_or(Epoch(0), |peer| peer.last_epoch);
        let Some(epoch) = last.max(theirs.epoch).next() else {
            self.set_step(id, Step::Knocking(theirs, proof, spec));
            return self.refuse(cx, id, Refusal::NoSession);
        };
        self.send_accept(cx, id, proof, Some(cx.me.spec.clone()), epoch);
        self.begin_session(cx, id, &theirs, spec, epoch);
    }

    fn send_accept(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        proof: Option<Proof>,
        spec: Option<Arc<NodeSpec>>,
        epoch: Epoch,
    ) {
        let accept = Accept { proof, spec, epoch };
        cx.send_on(id, Frame::Control(ControlMessage::Accept(Box::new(accept))));
    }

    /// Connector, last step: the other side is who it says, and has us in.
    fn accepted_by_peer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        first: &Hello,
        second: &Hello,
        accept: Accept,
    ) -> Result<(), Stop> {
        let secret = cx.config.secret.as_ref();
        check_proof(proof(secret, Role::Acceptor, first, second), accept.proof)?;
        let slot = self.dialled_slot(id, second)?;
        let known = self.peers.get(slot.node);
        let session = known.and_then(|peer| peer.session.as_ref());
        if slot.is_anchor() {
            let spec = check_spec(accept.spec, second)?;
            if session.is_some_and(|session| session.instance == second.instance()) {
                return Err(Stop::Surplus);
            }
            if let Some(peer) = known {
                check_life(second.incarnation, peer.incarnation)?;
            }
            let last = known.filter(|peer| peer.incarnation == second.incarnation);
            let again = last.is_some_and(|peer| peer.last_epoch == accept.epoch);
            if again || accept.epoch <= first.epoch {
                return Err(Stop::Refuse(Refusal::NoSession));
            }
            self.begin_session(cx, id, second, spec, accept.epoch);
        } else if session.is_some_and(|session| session.epoch == accept.epoch) {
            self.begin_lane(cx, id, slot);
        } else {
            return Err(Stop::Refuse(Refusal::NoSession));
        }
        Ok(())
    }

    fn check_theirs(&mut self, cx: &mut Context<'_>, theirs: &Hello) -> Result<(), Stop> {
        let result = check_hello(cx.me, cx.config, theirs);
        let newer = theirs.incarnation > cx.me.instance.incarnation;
        // Only where no secret could have proven the claim false; else the manager hears of it.
        if result == Err(Refusal::DuplicateName) && newer && cx.config.secret.is_none() {
            cx.notify(Notification::DuplicateName { at: None });
        }
        result.map_err(Stop::Refuse)
    }

    /// Which slot a dialled connection is for, now that the other side said who it is.
    fn dialled_slot(&mut self, id: ConnectionId, theirs: &Hello) -> Result<Slot, Stop> {
        let node = theirs.name.id();
        match self.table.get(&id).and_then(Connection::origin) {
            Some(Origin::For(slot)) if slot.node == node => Ok(slot),
            Some(Origin::ForContact(contact)) => {
                let Some(dial) = self.contacts.get_mut(&contact) else {
                    return Err(Stop::Surplus);
                };
                if dial.target.name.as_ref().is_some_and(|name| *name != theirs.name) {
                    return Err(Stop::Refuse(Refusal::UnexpectedPeer));
                }
                dial.reached = Some(node);
                Ok(Slot::anchor(node))
            }
            Some(Origin::For(_) | Origin::Accepted) | None => {
                Err(Stop::Refuse(Refusal::UnexpectedPeer))
            }
        }
    }

    /// Whether the place that a connector asks for is free, or may be taken from its holder.
    fn check_slot(&self, slot: Slot, theirs: &Hello) -> Result<(), Stop> {
        let Some(peer) = self.peers.get(slot.node) else {
            return if slot.is_anchor() { Ok(()) } else { Err(Stop::Refuse(Refusal::NoSession)) };
        };
        if *peer.spec.name() != theirs.name {
            return Err(Stop::Refuse(Refusal::IdentifierCollision));
        }
        let session = peer.session.as_ref();
        if let Err(stale) = check_life(theirs.incarnation, peer.incarnation) {
            let newer_is_alive =
                session.is_some_and(|session| session.instance.incarnation > theirs.incarnation);
            let refusal = if newer_is_alive { Refusal::DuplicateName } else { stale };
            return Err(Stop::Refuse(refusal));
        }
        let same = session.filter(|session| session.instance == theirs.instance());
        if slot.is_anchor() {
            return match same.filter(|session| theirs.epoch < session.epoch) {
                Some(_) => Err(Stop::Refuse(Refusal::AlreadyConnected)),
                None => Ok(()),
            };
        }
        let open_to_lanes = |session: &&super::Session| {
            session.epoch == theirs.epoch && !session.dialled && session.goodbye.is_none()
        };
        match same.filter(open_to_lanes) {
            None => Err(Stop::Refuse(Refusal::NoSession)),
            Some(session) if session.lane(slot).is_none() => {
                Err(Stop::Refuse(Refusal::UnknownChannel))
            }
            Some(_) => Ok(()),
        }
    }

    /// The peer dials as if our session were over: look whether its anchor is still alive.
    fn suspect(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let session = self.peers.get(node).and_then(|peer| peer.session.as_ref());
        let anchor = session.and_then(super::Session::anchor);
        let found = anchor.and_then(|id| Some((id, self.table.get_mut(&id)?)));
        if let Some((id, connection)) = found
            && let Stage::Open(open) = &mut connection.stage
            && let Some(due) = open.keep_alive.suspect(&cx.config.connections.keep_alive, cx.now)
        {
            self.keep_alive(cx, id, due);
        }
    }

    /// Whether a dial of ours to this node is open and in its handshake.
    fn is_shaking_with(&self, node: NodeId) -> bool {
        let of_peer = self.peers.get(node).and_then(|peer| peer.dialling);
        let of_contacts = self.contacts.values().filter(|dial| dial.reached == Some(node));
        let mut dials = of_peer.into_iter().chain(of_contacts.filter_map(|dial| dial.dialling));
        dials.any(|id| {
            let stage = self.table.get(&id).map(|connection| &connection.stage);
            matches!(stage, Some(Stage::Shaking(_)))
        })
    }

    /// Refuses a handshake: says why, closes.
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, id: ConnectionId, refusal: Refusal) {
        let Some(connection) = self.table.get(&id) else {
            return;
        };
        let Stage::Shaking(shaking) = &connection.stage else {
            return;
        };
        let (node, proof) = match &shaking.step {
            Step::Heard(theirs) | Step::ExpectConfirm(theirs, _) | Step::Knocking(theirs, ..) => {
                let proof = refusal_proof(cx.config.secret.as_ref(), refusal, theirs);
                (Some(theirs.name.id()), proof)
            }
            Step::ExpectAccept(_, theirs) => (Some(theirs.name.id()), None),
            Step::ExpectHello(_) | Step::ExpectFirstHello => (None, None),
        };
        self.counters.refused += 1;
        cx.notify(Notification::PeerRefused { node, refusal });
        cx.send_on(id, Frame::Refuse(Refuse { refusal, proof }));
        self.close(cx, id, CloseReason::Refused(refusal), true);
    }

    fn refused_by_peer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        step: &Step,
        refuse: Refuse,
    ) {
        let Refuse { refusal, proof } = refuse;
        self.counters.refused_by_peer += 1;
        // Of lives and stays a node believes those whom it dialled, if they know the secret.
        if let Step::ExpectHello(ours) | Step::ExpectAccept(ours, _) = step
            && check_proof(refusal_proof(cx.config.secret.as_ref(), refusal, ours), proof).is_ok()
        {
            self.believe(cx, id, step, refusal);
        }
        self.close(cx, id, CloseReason::Refused(refusal), false);
    }

    /// A node that this one dialled says something about a life or a stay.
    fn believe(&self, cx: &mut Context<'_>, id: ConnectionId, step: &Step, refusal: Refusal) {
        match (refusal, step) {
            (Refusal::StaleIncarnation(_) | Refusal::Removed(_) | Refusal::DuplicateName, _) => {
                cx.change(Change::Outdated { refusal });
            }
            // Of its own past alone.
            (Refusal::NotMember(upto), Step::ExpectAccept(_, theirs))
                if upto < theirs.incarnation =>
            {
                if let Some(Origin::For(slot)) = self.table.get(&id).and_then(Connection::origin) {
                    let node = slot.node;
                    cx.change(Change::NotMember { node, upto });
                }
            }
            _ => {}
        }
    }

    /// Ends a dial of ours that is not needed: the node is connected by another one.
    fn surplus(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.remove(cx, id) else {
            return;
        };
        let reason = CloseReason::Surplus;
        cx.act(Action::Close { connection: id, reason, flush: false });
        match connection.origin() {
            Some(Origin::ForContact(contact)) => self.contact_reached(cx, contact),
            Some(Origin::For(slot)) => {
                if let Some(peer) = self.peers.get_mut(slot.node) {
                    peer.dialling = peer.dialling.filter(|dial| *dial != id);
                }
            }
            Some(Origin::Accepted) | None => {}
        }
    }
}

impl Opening {
    /// For a contact of which only the address is known.
    const fn to_anybody() -> Self {
        let channel = crate::id::ChannelId::MEMBERSHIP;
        Self { channel, lane: 0, epoch: Epoch(0), expected: None }
    }
}

/// What is kept while the manager judges a knock: our proof, and the peer's spec.
type Knocking = (Option<Proof>, Arc<NodeSpec>);

/// Why a handshake goes no further.
enum Stop {
    Refuse(Refusal),
    Misbehaved(Misbehaviour),
    Surplus,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// The introduction must be of the node that said hello.
fn check_spec(spec: Option<Arc<NodeSpec>>, theirs: &Hello) -> Result<Arc<NodeSpec>, Stop> {
    spec.filter(|spec| *spec.name() == theirs.name).ok_or(Stop::Misbehaved(Misbehaviour::WrongSpec))
}
