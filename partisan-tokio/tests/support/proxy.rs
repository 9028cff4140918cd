//! A middleman between two nodes, who can fall silent.

use partisan_tokio::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Which ways are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// From who dials to who is dialled.
    pub(crate) there: bool,
    /// The other way.
    pub(crate) back: bool,
}

/// Passes on what comes, until it is told to pass on nothing more; its sockets stay open, as with a
/// cable that is pulled out.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: Address,
    cut: watch::Sender<Cut>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// In front of whoever listens at what `target` says then.
    pub(crate) async fn start(target: watch::Receiver<Option<Address>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let cut = watch::Sender::new(Cut::default());
        let (mut tasks, cuts) = (JoinSet::new(), cut.subscribe());
        tasks.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let target = target.borrow().clone().expect("a target");
                let Ok(to) = TcpStream::connect(target.to_string()).await else { continue };
                let ((from_read, from_write), (to_read, to_write)) =
                    (from.into_split(), to.into_split());
                ways.spawn(pass(from_read, to_write, cuts.clone(), |cut| cut.there));
                ways.spawn(pass(to_read, from_write, cuts.clone(), |cut| cut.back));
            }
        });
        Self { address, cut, _tasks: tasks }
    }

    /// From now on.
    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cuts: watch::Receiver<Cut>,
    is_cut: fn(&Cut) -> bool,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        tokio::select! {
            biased;
            cut = async { cuts.wait_for(is_cut).await.is_ok() } => {
                if cut {
                    // Holds both ends open, and passes on nothing more, not even an end.
                    std::future::pending::<()>().await;
                }
                return;
            }
            read = from.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    if to.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
