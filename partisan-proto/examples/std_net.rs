//! A node in your own event loop: non-blocking `std::net` sockets, one thread, no runtime.
//!
//! In one terminal, and then in as many others as you like:
//!
//! ```text
//! cargo run -p partisan-proto --example std_net -- a@localhost 127.0.0.1:9001
//! cargo run -p partisan-proto --example std_net -- b@localhost 127.0.0.1:9002 127.0.0.1:9001
//! ```
//!
//! Each greets every node that comes up, and prints what it hears. With `--for SECONDS` in front
//! it stops by itself. Names are not looked up here, and what cannot be written at once waits in a
//! plain buffer: a driver for production bounds it (see `partisan-tokio`).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use partisan_proto::wire::{self, Decoded, Destination};
use partisan_proto::{
    Action, Address, Birth, ChannelId, CloseReason, Command, Config, ConnectionId, Contact, Event,
    Host, Incarnation, Instant, Node, NodeName, NodeSpec, Notification, OpenError, Outbox, Send,
    Ticket,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut stop_after = None;
    if arguments.first().is_some_and(|first| first == "--for") {
        stop_after = Some(Duration::from_secs(arguments[1].parse()?));
        arguments.drain(..2);
    }
    let [name, listen, contacts @ ..] = &arguments[..] else {
        return Err(
            "usage: std_net [--for SECONDS] NAME LISTEN_ADDRESS [CONTACT_ADDRESS...]".into()
        );
    };
    let mut driver = Driver::start(name, listen.parse()?)?;
    for contact in contacts {
        let contact = Contact::at(contact.parse()?);
        driver.handle(Event::Command { ticket: Ticket(0), command: Command::Join(contact) });
    }
    let stop_at = stop_after.map(|span| driver.clock() + span);
    while stop_at.is_none_or(|at| driver.clock() < at) {
        driver.turn()?;
    }
    Ok(())
}

struct Driver {
    node: Node,
    started: std::time::Instant,
    outbox: Outbox,
    listener: TcpListener,
    sockets: BTreeMap<ConnectionId, Socket>,
    accepted: u64,
}

struct Socket {
    stream: TcpStream,
    incoming: BytesMut,
    outgoing: Vec<u8>,
}

impl Socket {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, incoming: BytesMut::new(), outgoing: Vec::new() })
    }

    /// Writes what it can without waiting.
    fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Driver {
    fn start(name: &str, listen: SocketAddr) -> Result<Self, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let config = Arc::new(Config::default());
        let address = Address::from(listener.local_addr()?);
        let name = NodeName::new(name)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
        // Good enough for a node without a shared secret; else ask the operating system.
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&since_1970.as_nanos().to_le_bytes());
        seed[16..24].copy_from_slice(&name.id().as_u64().to_le_bytes());
        let birth = Birth {
            spec: NodeSpec::new(name, vec![address], &config.channels, vec![])?,
            incarnation: Incarnation(since_1970.as_millis() as u64),
            seed,
            snapshot: None,
            manager: None,
        };
        let mut outbox = Outbox::default();
        let node = Node::start(Instant::ZERO, birth, config, &mut outbox)?;
        let started = std::time::Instant::now();
        let sockets = BTreeMap::new();
        Ok(Self { node, started, outbox, listener, sockets, accepted: 0 })
    }

    fn clock(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    fn handle(&mut self, event: Event) {
        self.node.handle(self.clock(), event, &mut self.outbox);
    }

    /// One turn of the loop: act, accept, read, wake.
    fn turn(&mut self) -> io::Result<()> {
        self.act();
        match self.listener.accept() {
            Ok((stream, _)) => {
                let connection = ConnectionId::accepted(self.accepted);
                self.accepted += 1;
                self.sockets.insert(connection, Socket::new(stream)?);
                self.handle(Event::Accepted { connection });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let connections: Vec<ConnectionId> = self.sockets.keys().copied().collect();
        for connection in connections {
            self.serve(connection);
        }
        if self.node.timers().next().is_some_and(|(at, _)| at <= self.clock()) {
            self.handle(Event::Wake);
        }
        if self.outbox.actions.is_empty() {
            // A real loop waits for the sockets too (epoll, kqueue); this one looks again soon.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Reads what arrived on a connection, and writes what still waits.
    fn serve(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&connection) else {
            return;
        };
        let mut chunk = [0; 4096];
        let ended = match socket.stream.read(&mut chunk) {
            Ok(0) => Some(CloseReason::ClosedByPeer),
            Ok(read) => {
                socket.incoming.extend_from_slice(&chunk[..read]);
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(CloseReason::Broken),
        };
        let ended = ended.or_else(|| socket.flush().err().map(|_| CloseReason::Broken));
        let ended = ended.or_else(|| self.decode(connection));
        if let Some(reason) = ended
            && self.sockets.remove(&connection).is_some()
        {
            self.handle(Event::Closed { connection, reason });
        }
    }

    fn decode(&mut self, connection: ConnectionId) -> Option<CloseReason> {
        let limit = self.node.config().connections.max_frame;
        loop {
            let socket = self.sockets.get_mut(&connection)?;
            match wire::decode(&mut socket.incoming, limit) {
                Ok(Decoded::Frame(frame)) => self.handle(Event::Received { connection, frame }),
                Ok(Decoded::Skipped) => {}
                Ok(Decoded::Incomplete(_)) => return None,
                Err(error) => return Some(error.into()),
            }
        }
    }

    /// Does what the node wants; what follows from it is done too.
    fn act(&mut self) {
        while !self.outbox.actions.is_empty() {
            for action in std::mem::take(&mut self.outbox.actions) {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Open { connection, addresses, timeout } => {
                self.dial(connection, &addresses, timeout);
            }
            Action::Send { connection, frame } => {
                if let Some(socket) = self.sockets.get_mut(&connection) {
                    wire::encode(&frame, &mut socket.outgoing);
                    // What goes wrong here shows when it is read next.
                    let _ = socket.flush();
                }
            }
            Action::Close { connection, .. } => drop(self.sockets.remove(&connection)),
            Action::Deliver(delivery) => {
                let text = String::from_utf8_lossy(&delivery.payload).into_owned();
                println!("{} says: {text}", self.name_of(delivery.from));
            }
            Action::DeliverBroadcast(message) => println!("broadcast: {:?}", message.payload),
            Action::Reply { result: Err(error), .. } => println!("failed: {error}"),
            Action::Reply { result: Ok(_), .. } | Action::Persist(_) | Action::Ask { .. } => {}
            Action::Notify(Notification::FullyConnected { node }) => {
                println!("connected to {}", self.name_of(node));
                let payload = Bytes::from(format!("hello from {}", self.node.spec().name()));
                let (channel, destination) = (ChannelId::DEFAULT, Destination::Inbox);
                let relay = false;
                let send = Send { to: node, channel, key: None, destination, relay, payload };
                self.handle(Event::Command { ticket: Ticket(1), command: Command::Send(send) });
            }
            Action::Notify(Notification::NodeDown { instance, reason, .. }) => {
                println!("lost {}: {reason}", self.name_of(instance.node));
            }
            // No process lives here.
            Action::Signal { .. } | Action::Serve(_) | Action::End { .. } | Action::Notify(_) => {}
        }
    }

    fn dial(&mut self, connection: ConnectionId, addresses: &[Address], timeout: Duration) {
        let connect = |address: &Address| match address.host {
            Host::Ip(ip) => {
                TcpStream::connect_timeout(&SocketAddr::new(ip, address.port), timeout).ok()
            }
            Host::Name(_) => None,
        };
        let socket = addresses.iter().find_map(connect).map(Socket::new);
        let event = match socket {
            Some(Ok(socket)) => {
                self.sockets.insert(connection, socket);
                Event::Opened { connection }
            }
            Some(Err(_)) => Event::OpenFailed { connection, error: OpenError::System },
            None => Event::OpenFailed { connection, error: OpenError::Refused },
        };
        self.handle(event);
    }

    fn name_of(&self, node: partisan_proto::NodeId) -> String {
        self.node.peer(node).map_or_else(|| node.to_string(), |peer| peer.spec.name().to_string())
    }
}
