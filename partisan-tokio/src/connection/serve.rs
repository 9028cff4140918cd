//! The task of one connection, from its opening to its end.

use std::sync::Arc;
use std::time::Duration;

use partisan_proto::CloseReason;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::reader::Reader;
use super::writer::Writer;
use super::{Connection, Phase};
use crate::driver_config::DriverConfig;
use crate::event_loop::LoopEvent;
use crate::mailboxes::Mailboxes;

/// What the tasks of all connections of a node have in common.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) config: DriverConfig,
    /// The longest frame this node takes.
    pub(crate) max_frame: u32,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) events: mpsc::Sender<LoopEvent>,
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
    let reason = match end {
        End::Asked(Phase::Flushing) => {
            let flush = async {
                // A queue that is held is released within one deadline.
                if writer.flush_held(connection, &mut to).await.is_ok() {
                    let _ = to.shutdown().await;
                }
            };
            let both = async { tokio::join!(flush, reader.discard(&mut from)) };
            let deadline = around.config.flush_deadline;
            let _ = timeout(deadline + held_for(connection, deadline), both).await;
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
    let closed = LoopEvent::Closed {
        connection: id,
        reason,
    };
    // Without a loop there is nobody to tell.
    let _ = around.events.send(closed).await;
}

fn held_for(connection: &Connection, deadline: Duration) -> Duration {
    if connection.queue.is_held() {
        deadline
    } else {
        Duration::ZERO
    }
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
