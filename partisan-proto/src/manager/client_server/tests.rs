//! Clients and servers against each other, without connections in between, and one rule a test.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::change::Change;
use crate::command::Command;
use crate::config::Channels;
use crate::id::{ConnectionId, Tag};
use crate::manager::Manager;
use crate::manager::testing::{Machine, Mesh, instance, me, spec_at};
use crate::time::Duration;

fn spec_of(role: &str, name: &str, port: u16) -> Arc<NodeSpec> {
    let plain = spec_at(name, port);
    let tags = if role.is_empty() { vec![] } else { vec![Tag::new(role).unwrap()] };
    let addresses = plain.addresses().to_vec();
    Arc::new(NodeSpec::new(plain.name().clone(), addresses, &Channels::default(), tags).unwrap())
}

fn machine(role: &str, name: &str, port: u16) -> Machine<Pluggable> {
    let me = me(&spec_of(role, name, port), 10);
    let config = ClientServerConfig::default();
    let manager = Star::manager(&me, &config, &[port as u8; 32], None).unwrap();
    Machine::new(me, manager)
}

/// Servers first, then clients; not joined.
fn nodes(servers: u16, clients: u16) -> Mesh<Pluggable> {
    let server = |i: u16| machine("server", &alloc::format!("s{i}"), i + 1);
    let client = |i: u16| machine("client", &alloc::format!("c{i}"), servers + i + 1);
    Mesh::new((0..servers).map(server).chain((0..clients).map(client)).collect())
}

/// All have joined the first server.
fn cluster(servers: u16, clients: u16) -> Mesh<Pluggable> {
    let mut mesh = nodes(servers, clients);
    for node in 1..usize::from(servers + clients) {
        mesh.join(node, 0);
        mesh.settle();
    }
    mesh.pass(Duration::from_secs(5));
    mesh
}

#[test]
fn a_node_without_a_role_or_with_both_does_not_start() {
    let config = ClientServerConfig::default();
    let me = me(&spec_of("", "m", 1), 1);
    let error = Star::manager(&me, &config, &[1; 32], None).unwrap_err();
    assert!(matches!(error, ConfigError::NoRole { .. }));
}

#[test]
fn servers_know_all_and_clients_the_servers_and_themselves() {
    let mesh = cluster(2, 3);
    for server in &mesh.machines[..2] {
        assert_eq!(server.names(), ["c0", "c1", "c2", "s0", "s1"]);
    }
    for (number, client) in mesh.machines[2..].iter().enumerate() {
        let own = alloc::format!("c{number}");
        assert_eq!(client.names(), [&own[..], "s0", "s1"]);
        assert_eq!(client.manager.views().active.len(), 2, "both servers, as configured");
    }
}

#[test]
fn a_client_keeps_as_many_servers_as_configured() {
    let mesh = cluster(5, 2);
    for client in &mesh.machines[5..] {
        assert_eq!(client.manager.views().active.len(), 2);
        assert_eq!(client.routes.peers().count(), 2, "and is connected to nobody else");
    }
}

fn knock(machine: &mut Machine<Pluggable>, spec: Arc<NodeSpec>) -> Vec<Change> {
    let (connection, instance) = (ConnectionId::accepted(9), instance(&spec, 1));
    machine.change(Change::Knock { connection, instance, spec, known: None }).changes
}

#[test]
fn who_has_no_place_is_refused_and_so_is_a_client_where_no_server_is_known() {
    for (ours, theirs) in [("server", ""), ("client", ""), ("client", "client")] {
        let mut machine = machine(ours, "m", 1);
        machine.start();
        let answer = knock(&mut machine, spec_of(theirs, "x", 9));
        let wanted = Refusal::NotWanted;
        let refused = matches!(answer[..], [Change::TurnAway { refusal, .. }] if refusal == wanted);
        assert!(refused, "{ours} {theirs}");
    }
}

#[test]
fn a_client_that_loses_a_server_goes_to_another() {
    let mut mesh = cluster(3, 1);
    let kept = mesh.machines[3].manager.views().active;
    let is_kept = |i: &usize| kept.contains(&mesh.machines[*i].me.instance.node);
    let lost = (0..3).find(is_kept).unwrap();
    mesh.cut.push(lost);
    mesh.disconnect(3, lost);
    mesh.pass(Duration::from_secs(5));
    let now = mesh.machines[3].manager.views().active;
    assert_eq!(now.len(), 2);
    assert!(!now.contains(&mesh.machines[lost].me.instance.node));
}

#[test]
fn a_client_that_leaves_is_forgotten_by_every_server() {
    let mut mesh = cluster(3, 2);
    mesh.command(3, Command::Leave);
    mesh.settle();
    mesh.pass(Duration::from_secs(1));
    for server in &mesh.machines[..3] {
        assert_eq!(server.names(), ["c1", "s0", "s1", "s2"]);
    }
    assert_eq!(mesh.machines[3].names(), ["c0"]);
}

#[test]
fn a_server_removed_by_a_client_is_gone_everywhere() {
    let mut mesh = cluster(3, 2);
    let removed = mesh.machines[2].me.instance.node;
    mesh.command(3, Command::Remove(removed));
    mesh.settle();
    mesh.pass(Duration::from_secs(5));
    for node in [0, 1, 3, 4] {
        assert!(mesh.machines[node].manager.member(removed).is_none(), "node {node}");
    }
    // It finds out itself, when it knocks at a door that was open to it.
    let removed = mesh.machines[2].me.spec.clone();
    let (connection, instance) = (ConnectionId::accepted(9), instance(&removed, 10));
    let knock = Change::Knock { connection, instance, spec: removed, known: None };
    let answer = mesh.machines[0].change(knock).changes;
    assert!(matches!(answer[..], [Change::TurnAway { refusal: Refusal::Removed(_), .. }]));
}

#[test]
fn a_message_finds_its_way_by_the_servers() {
    let mut mesh = nodes(3, 2);
    mesh.join(1, 0);
    mesh.join(2, 1);
    mesh.settle();
    mesh.join(3, 0);
    mesh.join(4, 2);
    mesh.settle();
    mesh.pass(Duration::from_secs(5));
    let id = |i: usize| mesh.machines[i].me.instance.node;
    let hop = |at: usize, to: usize| mesh.machines[at].manager.next_hop(id(to));
    let first = hop(3, 4).unwrap();
    let server = (0..3).find(|i| id(*i) == first).unwrap();
    if mesh.machines[server].routes.peer(id(4)).is_none() {
        let second = hop(server, 4).unwrap();
        let second = (0..3).find(|i| id(*i) == second).unwrap();
        assert!(mesh.machines[second].routes.peer(id(4)).is_some());
    }
    for at in 0..3 {
        let there = mesh.machines[at].routes.peer(id(4)).is_some();
        assert!(there || hop(at, 4).is_some(), "server {at} knows where the client is");
    }
}

#[test]
fn gossip_of_a_client_is_not_understood() {
    let mut server = machine("server", "m", 1);
    server.start();
    let client = spec_of("client", "c", 2);
    server.up(&client, 1, ConnectionId::accepted(2), None);
    let digest = crate::wire::Gossip::Digest(crate::wire::Digest::default());
    let (from, message) = (instance(&client, 1), ControlMessage::Gossip(digest));
    server.run(|manager, cx| assert!(manager.receive(cx, from, message).is_err()));
}
