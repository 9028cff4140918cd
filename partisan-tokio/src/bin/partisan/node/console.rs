//! The terminal or pipe that a node was started from: lines in, lines out, neither garbled.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use partisan_tokio::NodeName;
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc;

/// What was typed.
#[derive(Debug)]
pub(crate) enum Line {
    Text(String),
    /// Ctrl-C or Ctrl-D.
    Quit,
}

type Print = Box<dyn FnMut(String) + Send>;

/// Prints lines, above the prompt where there is one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    started: Instant,
    print: Arc<Mutex<Print>>,
    #[cfg(unix)]
    before: Arc<Mutex<Option<nix::sys::termios::Termios>>>,
}

impl Console {
    /// Begins to read lines. They end where the pipe does.
    pub(crate) fn open(name: &NodeName) -> (Self, mpsc::Receiver<Line>) {
        let (sender, lines) = mpsc::channel(16);
        #[cfg(unix)]
        let before = Arc::new(Mutex::new(nix::sys::termios::tcgetattr(std::io::stdin()).ok()));
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let editor = terminal.then(|| prompt(name, &sender)).flatten();
        let print = editor.unwrap_or_else(|| {
            std::thread::spawn(move || pipe(&sender));
            // Nobody may be listening any more; the node goes on.
            Box::new(|text| drop(std::io::stdout().write_all(text.as_bytes())))
        });
        let console = Self {
            started: Instant::now(),
            print: Arc::new(Mutex::new(print)),
            #[cfg(unix)]
            before,
        };
        (console, lines)
    }

    /// Prints one or more whole lines.
    pub(crate) fn print(&self, text: &str) {
        let mut print = self.print.lock().unwrap_or_else(PoisonError::into_inner);
        print(format!("{text}\n"));
    }

    /// Prints one line with the time since the start.
    pub(crate) fn tell(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.print(&format!("[{seconds:9.3}] {text}"));
    }

    /// Leaves the terminal as it was, even while somebody types.
    pub(crate) fn close(&self) {
        #[cfg(unix)]
        if let Some(before) = &*self.before.lock().unwrap_or_else(PoisonError::into_inner) {
            use nix::sys::termios::{SetArg, tcsetattr};
            // It may be gone.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

fn prompt(name: &NodeName, lines: &mpsc::Sender<Line>) -> Option<Print> {
    let mut editor = DefaultEditor::new().ok()?;
    let mut printer = editor.create_external_printer().ok()?;
    let prompt = format!("{}> ", name.as_str());
    let lines = lines.clone();
    std::thread::spawn(move || {
        loop {
            let line = match editor.readline(&prompt) {
                Ok(text) => {
                    // The history is a convenience.
                    let _ = editor.add_history_entry(text.as_str());
                    Line::Text(text)
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => Line::Quit,
                Err(_) => return,
            };
            let quit = matches!(line, Line::Quit);
            if lines.blocking_send(line).is_err() || quit {
                return;
            }
        }
    });
    Some(Box::new(move |text| drop(printer.print(text))))
}

fn pipe(lines: &mpsc::Sender<Line>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(text) = line else { return };
        if lines.blocking_send(Line::Text(text)).is_err() {
            return;
        }
    }
}
