//! `partisan ctl`: asks a running node.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::arguments::{Ask, CtlArguments};
use crate::failure::Failure;
use crate::requests::{Reply, Request};
use crate::table::render;

/// What an answer may take besides the waiting that was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks, and prints the answer.
pub(crate) async fn ask(arguments: CtlArguments) -> Result<(), Failure> {
    let socket = arguments
        .control
        .ok_or_else(|| Failure::usage("which node? Give its socket: --control SOCKET"))?;
    let (request, wait) = request(arguments.what);
    let line = serde_json::to_string(&request)
        .map_err(|error| Failure::failed(format!("cannot write the request: {error}")))?;
    let answer = tokio::time::timeout(wait + PATIENCE, exchange(&socket, line)).await;
    let answer = answer.map_err(|_| {
        Failure::silent(format!(
            "the node at {} does not answer in time; is it stopped?",
            socket.display()
        ))
    })??;
    let reply: Reply = serde_json::from_str(&answer)
        .map_err(|error| Failure::silent(format!("that is no answer of a node: {error}")))?;
    let error = match &reply {
        Reply::Error(text) => Some(text.clone()),
        _ => None,
    };
    if arguments.json {
        print(&format!("{}\n", answer.trim_end()));
    } else if error.is_none() {
        print(&render(&reply));
    }
    error.map_or(Ok(()), |text| Err(Failure::refused(text)))
}

/// Whoever closed the pipe does not want to know.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn request(ask: Ask) -> (Request, Duration) {
    let request = match ask {
        Ask::Members => Request::Members,
        Ask::Connections => Request::Connections,
        Ask::Peers => Request::Peers,
        Ask::Counters => Request::Counters,
        Ask::Join { address, wait } => {
            let address = address.to_string();
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return (Request::Join { address, wait_ms }, wait);
        }
        Ask::Leave => Request::Leave,
        Ask::Remove { node } => Request::Remove { node },
        Ask::Send { node, channel, text } => Request::Send { node, channel, text: text.join(" ") },
        Ask::Neighbors => Request::Neighbors,
        Ask::Views => Request::Views,
        Ask::Tree { root } => Request::Tree { root },
        Ask::Broadcast { text } => Request::Broadcast { text: text.join(" ") },
        Ask::Processes { node } => Request::Processes { node },
        Ask::Whereis { node, name } => Request::Whereis { node, name },
        Ask::Calls => Request::Calls,
        Ask::Partitions => Request::Partitions,
        Ask::Partition { ttl } => Request::Partition { ttl },
        Ask::Resolve { id } => Request::Resolve { id },
        Ask::Shutdown => Request::Shutdown,
    };
    (request, Duration::ZERO)
}

#[cfg(unix)]
async fn exchange(socket: &Path, line: String) -> Result<String, Failure> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixStream;

    let silent = |error: std::io::Error| {
        Failure::silent(format!(
            "no node answers at {}: {error}; start one with --control {}",
            socket.display(),
            socket.display()
        ))
    };
    let mut stream = UnixStream::connect(socket).await.map_err(silent)?;
    let sent = stream.write_all(format!("{line}\n").as_bytes()).await;
    sent.map_err(silent)?;
    let mut answer = String::new();
    let read = BufReader::new(stream).read_line(&mut answer).await;
    match read.map_err(silent)? {
        0 => Err(Failure::silent("the node closed the connection unanswered")),
        _ => Ok(answer),
    }
}

#[cfg(not(unix))]
async fn exchange(_: &Path, _: String) -> Result<String, Failure> {
    Err(Failure::failed("control sockets need a Unix system"))
}
