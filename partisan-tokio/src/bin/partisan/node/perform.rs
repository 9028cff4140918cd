//! Does what a node is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use partisan_tokio::{Address, Contact, Node, NodeName, SendOptions};

use super::{Host, overlay, processes};
use crate::requests::{
    ConnectionRow, MemberRow, PeerRow, ProcessRow, Reply, Request, State, TreeRow,
};

/// How long a message may wait for room or for a connection that is being opened.
const SEND_PATIENCE: Duration = Duration::from_secs(3);

/// Does it, and answers. What the answer to a shutdown promises is left to the caller.
pub(crate) async fn perform(host: &Host, request: Request) -> Reply {
    let node = &host.node;
    let result = match request {
        Request::Members => return Reply::Members(members(node)),
        Request::Connections => return Reply::Connections(connections(node)),
        Request::Peers => return Reply::Peers(peers(node).await),
        Request::Counters => return Reply::Counters(counters(node)),
        Request::Join { address, wait_ms } => join(node, &address, wait_ms).await.map(Reply::Done),
        Request::Leave => leave(node).await.map(Reply::Done),
        Request::Remove { node: name } => remove(node, &name).await.map(Reply::Done),
        Request::Send { node: name, channel, text } => {
            send(node, &name, channel.as_deref(), &text).await.map(Reply::Done)
        }
        Request::Neighbors => return Reply::Neighbors(overlay::neighbors(node)),
        Request::Views => overlay::views(node).await.map(Reply::Views),
        Request::Tree { root } => tree(node, &root).await.map(Reply::Tree),
        Request::Partitions => return Reply::Partitions(overlay::partitions(node)),
        Request::Processes { node: of } => all_processes(node, of).await.map(Reply::Processes),
        Request::Whereis { node: of, name } => whereis(node, &of, &name).await.map(Reply::Done),
        Request::Calls => processes::calls(node).await.map(Reply::Calls),
        Request::Broadcast { text } => overlay::broadcast(node, &text).await.map(Reply::Done),
        Request::Partition { ttl } => overlay::partition(node, ttl).await.map(Reply::Done),
        Request::Resolve { id } => overlay::resolve(node, &id).await.map(Reply::Done),
        Request::Shutdown => Ok(Reply::Done("stopping".into())),
    };
    result.unwrap_or_else(Reply::Error)
}

fn members(node: &Node) -> Vec<MemberRow> {
    let view = node.view();
    let row = |member: &partisan_tokio::Member| MemberRow {
        name: member.spec.name().to_string(),
        addresses: member.spec.addresses().iter().map(Address::to_string).collect(),
        incarnation: member.incarnation.0,
        state: if member.spec.id() == node.id() {
            State::Me
        } else if view.is_connected(member.spec.id()) {
            State::Connected
        } else {
            State::Disconnected
        },
    };
    view.members.iter().map(row).collect()
}

fn connections(node: &Node) -> Vec<ConnectionRow> {
    let view = node.view();
    let names: BTreeMap<_, _> = view
        .members
        .iter()
        .map(|member| (member.spec.id(), member.spec.name().to_string()))
        .collect();
    let channels = &node.config().channels;
    let rows = view.connections.iter().map(|info| {
        let peer = names.get(&info.peer).cloned();
        let channel = channels.name(info.channel).map(ToString::to_string);
        ConnectionRow {
            peer: peer.unwrap_or_else(|| info.peer.to_string()),
            channel: channel.unwrap_or_default(),
            lane: info.lane,
            dialled: info.connection.is_dialled(),
        }
    });
    rows.collect()
}

async fn peers(node: &Node) -> Vec<PeerRow> {
    let mut rows = Vec::new();
    for member in node.members().iter() {
        let id = member.spec.id();
        if id == node.id() {
            continue;
        }
        let known = node.peer(id).await.ok().flatten();
        let round_trip = known.as_ref().and_then(|info| info.round_trip);
        let failure = known.as_ref().and_then(|info| info.last_failure);
        rows.push(PeerRow {
            name: member.spec.name().to_string(),
            connected: node.is_connected(id),
            round_trip_us: round_trip.map(|span| span.as_micros() as u64),
            failures: known.as_ref().map_or(0, |info| info.failures),
            last_failure: failure.map(|error| error.to_string()),
        });
    }
    rows
}

fn counters(node: &Node) -> BTreeMap<String, u64> {
    let all = node.counters();
    let (protocol, views) = (all.protocol, all.protocol.membership.views);
    let counters = [
        ("accept_errors", all.accept_errors),
        ("persist_failures", all.persist_failures),
        ("undeliverable", all.undeliverable),
        ("stalled", all.stalled),
        ("reported_errors", all.reported_errors),
        ("reported_warnings", all.reported_warnings),
        ("dialled", protocol.dialled),
        ("accepted", protocol.accepted),
        ("open_failed", protocol.open_failed),
        ("established", protocol.established),
        ("handshake_timeouts", protocol.handshake_timeouts),
        ("refused", protocol.refused),
        ("refused_by_peer", protocol.refused_by_peer),
        ("too_many", protocol.too_many),
        ("malformed", protocol.malformed),
        ("misbehaved", protocol.misbehaved),
        ("ping_timeouts", protocol.ping_timeouts),
        ("pings", protocol.pings),
        ("stray_pongs", protocol.stray_pongs),
        ("members_refused", protocol.membership.refused),
        ("membership_malformed", protocol.membership.malformed),
        ("name_collisions", protocol.membership.collisions),
        ("removals_crowded_out", protocol.membership.crowded_out),
        ("neighbors_gained", views.gained),
        ("neighbors_lost", views.lost),
        ("neighbors_parted_with", views.parted),
        ("neighbors_that_parted", views.parted_by_peer),
        ("neighbor_refills", views.refills),
        ("neighbor_refill_ms", views.refill_time.as_millis() as u64),
        ("neighbor_requests_declined", views.declined),
        ("neighbor_requests_declined_by_peers", views.declined_by_peer),
        ("joins_through_this_node", views.joins),
        ("walks_ended_here", views.walks),
        ("walk_hops", views.walk_hops),
        ("shuffles", views.shuffles),
        ("sessions", protocol.sessions),
        ("broadcasts_sent", protocol.broadcast.sent),
        ("broadcasts_received", protocol.broadcast.received),
        ("broadcast_payloads", protocol.broadcast.payloads),
        ("broadcast_duplicates", protocol.broadcast.duplicates),
        ("broadcast_grafts", protocol.broadcast.grafts),
        ("broadcasts_given_up", protocol.broadcast.given_up),
        ("broadcasts_missed", protocol.broadcast.missed),
        ("broadcasts_forged", protocol.broadcast.forged),
        ("relays_sent", protocol.relay.sent),
        ("relays_transmitted", protocol.relay.transmitted),
        ("relays_delivered", protocol.relay.delivered),
        ("relay_duplicates", protocol.relay.duplicates),
        ("relays_ended", protocol.relay.ended),
        ("partitions_refused", protocol.partitions_refused),
    ];
    counters.map(|(name, value)| (name.to_owned(), value)).into()
}

async fn join(node: &Node, address: &str, wait_ms: u64) -> Result<String, String> {
    let wanted: Address =
        address.parse().map_err(|error| format!("`{address}` is no address: {error}"))?;
    let contact = Contact::at(wanted);
    if wait_ms == 0 {
        let joining = node.join(contact).await;
        joining.map_err(|error| error.to_string())?;
        return Ok(format!("joining {address}; it is told when that has ended"));
    }
    let joined = node.sync_join(contact, Duration::from_millis(wait_ms)).await;
    let through = joined.map_err(|error| error.to_string())?;
    let members = node.members();
    let name = members.iter().find(|member| member.spec.id() == through);
    let name = name.map_or_else(|| through.to_string(), |m| m.spec.name().to_string());
    Ok(format!("joined through {name}; {} members", members.len()))
}

async fn leave(node: &Node) -> Result<String, String> {
    node.leave().await.map_err(|error| error.to_string())?;
    let incarnation = node.instance().incarnation;
    Ok(format!("left; the node goes on alone as incarnation {incarnation}"))
}

async fn remove(node: &Node, name: &str) -> Result<String, String> {
    let name = member(node, name)?;
    node.remove(&name).await.map_err(|error| by_name(&error.to_string(), &name))?;
    Ok(format!("removed {name}"))
}

async fn send(
    node: &Node,
    name: &str,
    channel: Option<&str>,
    text: &str,
) -> Result<String, String> {
    let name = anybody(node, name)?;
    let mut options = SendOptions::default().relay();
    if let Some(wanted) = channel {
        let channels = &node.config().channels;
        let all: Vec<&str> = channels.iter().map(|(_, name, _)| name.as_str()).collect();
        let all = all.join(", ");
        let none = || format!("channel `{wanted}` is not configured; the channels are {all}");
        options = options.channel(channels.id(wanted).ok_or_else(none)?);
    }
    // A lane that is being opened is worth a moment; nobody waits for one that is full for good.
    let sent = tokio::time::timeout(SEND_PATIENCE, node.send(&name, text, &options)).await;
    let late = || format!("{name} does not take it; see `connections` and try again");
    sent.map_err(|_| late())?.map_err(|error| by_name(&error.to_string(), &name))?;
    Ok(format!("queued for {name}"))
}

async fn tree(node: &Node, root: &str) -> Result<TreeRow, String> {
    overlay::tree(node, &anybody(node, root)?).await
}

async fn all_processes(node: &Node, of: Option<String>) -> Result<Vec<ProcessRow>, String> {
    let name = of.map_or_else(|| Ok(node.name()), |of| member(node, &of))?;
    let rows = processes::processes(node, &name).await;
    rows.map_err(|error| by_name(&error, &name))
}

async fn whereis(node: &Node, of: &str, wanted: &str) -> Result<String, String> {
    let name = member(node, of)?;
    let found = processes::whereis(node, &name, wanted).await;
    found.map_err(|error| by_name(&error, &name))
}

/// What the library tells by identifier, told by the name that was asked for.
fn by_name(error: &str, name: &NodeName) -> String {
    error.replace(&name.id().to_string(), name.as_str())
}

/// A member, or a node that is none here though it may be of the cluster, by its full name.
fn anybody(node: &Node, text: &str) -> Result<NodeName, String> {
    let known = member(node, text);
    if known.is_ok() || overlay::knows_all(node) || !text.contains('@') {
        return known;
    }
    NodeName::new(text).map_err(|error| format!("`{text}` is no name: {error}"))
}

/// The member of this name, or the only one whose part before the `@` is this.
fn member(node: &Node, text: &str) -> Result<NodeName, String> {
    let members = node.members();
    let names = || members.iter().map(|member| member.spec.name());
    if let Some(name) = names().find(|name| name.as_str() == text) {
        return Ok(name.clone());
    }
    let short = |name: &&NodeName| name.as_str().split('@').next() == Some(text);
    let found: Vec<&NodeName> = names().filter(short).collect();
    match found.as_slice() {
        [name] => Ok((*name).clone()),
        [] => Err(format!("no member is called `{text}`; see `members`")),
        _ => Err(format!("`{text}` is the beginning of several names; write one in full")),
    }
}
