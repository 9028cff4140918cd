//! The task of one connection, from its opening to its end.

use std::sync::Arc;

use partisan_proto::{CloseReason, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::reader::Reader;
use super::writer::Writer;
use super::{Connection, Phase};
use crate::broadcasts::Subscriptions;
use crate::driver_config::DriverConfig;
use crate::event_loop::LoopEvent;
use crate::interception::Interception;
use crate::mailboxes::Mailboxes;

/// What the tasks of all connections of a node have in common.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) config: DriverConfig,
    /// The longest frame this node takes.
    pub(crate) max_frame: u32,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) events: mpsc::Sender<LoopEvent>,
    pub(crate) interception: Arc<Interception>,
    /// The node itself.
    pub(crate) me: NodeId,
    /// One permit a byte of the payloads that the loop may be given.
    pub(crate) loop_room: Arc<Semaphore>,
}

/// What ended the running of a connection.
enum End {
    /// The loop wants it closed; nobody expects to be told.
    Asked(Phase),
    ReadFailed(CloseReason),
    WriteFailed,
}

/// Serves a connection until its end; the loop is told unless it asked for it.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    mut stream: TcpStream,
    around: Arc<Surroundings>,
) {
    // Also when this task is aborted, whoever waits for its end must learn of it.
    let guard = FinishOnDrop(connection);
    let connection = &guard.0;
    let (mut from, mut to) = stream.split();
    let (mut reader, mut writer) = (Reader::new(), Writer::default());
    let mut phase = connection.phase();
    let end = tokio::select! {
        phase = closing(&mut phase) => End::Asked(phase),
        _ = writer.run(connection, &mut to, &around) => End::WriteFailed,
        reason = reader.run(connection, &mut from, &around) => End::ReadFailed(reason),
    };
    // A reader that finds the gate closed may be quicker than the wish behind it.
    let asked = *phase.borrow();
    let end = match asked {
        Phase::Running => end,
        asked => End::Asked(asked),
    };
    let reason = match end {
        End::Asked(Phase::Flushing) => {
            let flush = async {
                if writer.flush(connection, &mut to).await.is_ok() {
                    let _ = to.shutdown().await;
                }
            };
            let both = async { tokio::join!(flush, reader.discard(&mut from)) };
            let _ = timeout(around.config.flush_deadline, both).await;
            return;
        }
        End::Asked(_) => return,
        End::ReadFailed(reason) => reason,
        End::WriteFailed => {
            // What the peer said before its end may tell why it ended.
            let rest = reader.run(connection, &mut from, &around);
            let deadline = around.config.flush_deadline;
            tokio::select! {
                phase = closing(&mut phase) => { let _ = phase; return }
                rest = timeout(deadline, rest) => match rest {
                    Ok(reason @ CloseReason::Malformed(_)) => reason,
                    _ => CloseReason::Broken,
                },
            }
        }
    };
    connection.end(false);
    let id = connection.id;
    let closed = LoopEvent::Closed { connection: id, reason };
    // Without a loop there is nobody to tell.
    let _ = around.events.send(closed).await;
}

async fn closing(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.wait_for(|phase| *phase != Phase::Running).await {
        Ok(phase) => *phase,
        Err(_) => Phase::Dropping,
    }
}

struct FinishOnDrop(Arc<Connection>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.finished();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Lane, Outgoing, Terms};
    use partisan_proto::wire::{self, ControlMessage, Frame};
    use partisan_proto::{ChannelId, ConnectionId, Incarnation, NodeId};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    struct Served {
        connection: Arc<Connection>,
        peer: TcpStream,
        mailboxes: Arc<Mailboxes>,
        told: mpsc::Receiver<LoopEvent>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn served() -> Served {
        let config = DriverConfig { mailbox_messages: 1, ..DriverConfig::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (events, told) = mpsc::channel(16);
        let mailboxes = Arc::new(Mailboxes::new(&config, Incarnation(1)));
        let id = ConnectionId::accepted(1);
        let connection = Arc::new(Connection::new(id, &config, None));
        let subscriptions = Arc::new(Subscriptions::new(&config));
        let around = Arc::new(Surroundings {
            subscriptions,
            config,
            max_frame: 1 << 20,
            mailboxes: Arc::clone(&mailboxes),
            events,
            me: NodeId::from_u64(2),
            loop_room: Arc::new(Semaphore::new(1 << 20)),
            interception: Arc::new(Interception::new(1, tokio::time::Instant::now())),
        });
        let task = serve(Arc::clone(&connection), accepted.unwrap().0, around);
        Served { connection, peer: peer.unwrap(), mailboxes, told, task: tokio::spawn(task) }
    }

    fn lane() -> Lane {
        Lane { peer: NodeId::from_u64(1), channel: ChannelId::DEFAULT }
    }

    fn establish(connection: &Connection) {
        connection.assign(lane(), Terms { max_frame: 1 << 20, compressed: false });
        connection.open();
    }

    fn message(text: &'static str) -> Frame {
        Frame::App {
            destination: wire::Destination::Inbox,
            payload: bytes::Bytes::from_static(text.as_bytes()),
        }
    }

    fn encoded(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            wire::encode(frame, &mut bytes);
        }
        bytes
    }

    #[tokio::test]
    async fn nothing_is_delivered_after_the_end_even_by_a_reader_that_waits_for_room() {
        let mut all = served().await;
        let mut inbox = all.mailboxes.inbox().unwrap();
        establish(&all.connection);
        let bytes = encoded(&[message("1"), message("2"), message("3")]);
        all.peer.write_all(&bytes).await.unwrap();
        assert_eq!(inbox.recv().await.unwrap().payload, "1");
        assert_eq!(inbox.recv().await.unwrap().payload, "2");
        // It may have delivered the third by now, or be about to.
        all.connection.end(false);
        let third = inbox.try_recv();
        all.task.await.unwrap();
        assert!(inbox.try_recv().is_none(), "after the end; before it: {third:?}");
        assert!(all.told.try_recv().is_err(), "whoever asks for the end is not told of it");
    }

    #[tokio::test]
    async fn messages_behind_the_last_step_of_the_handshake_wait_for_it_in_order() {
        let mut all = served().await;
        let mut inbox = all.mailboxes.inbox().unwrap();
        let step = Frame::Control(ControlMessage::Ping { id: 1 });
        let bytes = encoded(&[step.clone(), message("1"), message("2")]);
        all.peer.write_all(&bytes).await.unwrap();
        let Some(LoopEvent::Frame { frame, connection, .. }) = all.told.recv().await else {
            panic!("no frame");
        };
        assert_eq!(frame, step);
        assert!(inbox.try_recv().is_none());
        establish(&connection);
        connection.frame_handled();
        assert_eq!(inbox.recv().await.unwrap().payload, "1");
        assert_eq!(inbox.recv().await.unwrap().payload, "2");
        assert!(all.told.try_recv().is_err(), "nothing else went to the core");
    }

    #[tokio::test]
    async fn messages_in_the_middle_of_the_handshake_go_to_the_core() {
        let mut all = served().await;
        all.peer.write_all(&encoded(&[message("early")])).await.unwrap();
        let Some(LoopEvent::Frame { frame, .. }) = all.told.recv().await else {
            panic!("no frame");
        };
        assert_eq!(frame, message("early"));
    }

    #[tokio::test]
    async fn a_flushed_end_writes_all_and_waits_for_the_peers_end() {
        let mut all = served().await;
        let goodbye = Frame::Control(ControlMessage::Ping { id: 9 });
        all.connection.queue.put(&Outgoing::Core(&goodbye)).unwrap();
        all.connection.end(true);
        // What the peer still says must not reset the connection under what it has to read.
        all.peer.write_all(&encoded(&[message("late")])).await.unwrap();
        let mut read = Vec::new();
        all.peer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, encoded(&[goodbye]));
        assert!(!all.task.is_finished());
        drop(all.peer);
        all.task.await.unwrap();
        assert!(all.mailboxes.inbox().unwrap().try_recv().is_none());
    }

    #[tokio::test]
    async fn the_loop_is_told_why_a_connection_ended() {
        let mut all = served().await;
        all.peer.write_all(&[0, 0, 0, 0]).await.unwrap();
        let Some(LoopEvent::Closed { reason, .. }) = all.told.recv().await else {
            panic!("not closed");
        };
        let empty = wire::DecodeError::Empty;
        assert_eq!(reason, CloseReason::Malformed(empty));
        let mut all = served().await;
        drop(all.peer);
        let Some(LoopEvent::Closed { reason, .. }) = all.told.recv().await else {
            panic!("not closed");
        };
        assert_eq!(reason, CloseReason::ClosedByPeer);
    }
}
