//! What runs beside the connections: signals, and watching for the end of the process that started us.

use std::sync::Arc;

use rustix::process::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::transport::Connections;

/// Starts the thread that waits for signals and for the end of processes. Returns where to send the ids of
/// the processes to watch.
///
/// # Errors
/// When the operating system gives no thread or no signals.
pub fn start(connections: Arc<Connections>) -> std::io::Result<UnboundedSender<i32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, processes) = unbounded_channel();
    // The signals must be ours before the first call is read.
    let guard = runtime.enter();
    let (terminate, interrupt, hang_up) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    // A write beyond the file size limit (ulimit -f) must fail, not kill the process.
    let file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    drop(guard);
    std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        let _file_size = file_size;
        runtime.block_on(wait_for_end(terminate, interrupt, hang_up, processes, &connections));
        connections.stop();
        connections.remove_socket();
        std::process::exit(0);
    })?;
    Ok(sender)
}

async fn wait_for_end(
    mut terminate: tokio::signal::unix::Signal,
    mut interrupt: tokio::signal::unix::Signal,
    mut hang_up: tokio::signal::unix::Signal,
    mut processes: UnboundedReceiver<i32>,
    connections: &Arc<Connections>,
) {
    let (ended, mut any_ended) = unbounded_channel();
    loop {
        tokio::select! {
            _ = terminate.recv() => break tracing::info!("ends on SIGTERM"),
            _ = interrupt.recv() => break tracing::info!("ends on SIGINT"),
            _ = hang_up.recv() => break tracing::info!("ends on SIGHUP"),
            Some(()) = any_ended.recv() => break tracing::info!("ends because the client's process has ended"),
            Some(process) = processes.recv() => {
                let (ended, connections) = (ended.clone(), Arc::clone(connections));
                let watching = std::thread::Builder::new().name("process watch".to_owned()).spawn(move || {
                    if wait_for_process(process) {
                        connections.read_out();
                        if ended.send(()).is_err() {
                            tracing::debug!("the server is ending already");
                        }
                    }
                });
                if let Err(error) = watching {
                    tracing::warn!(%error, process, "no thread to watch the client's process; the server ends with its input only");
                }
            }
        }
    }
}

/// Waits until a process has ended. `false` at once if there is no such process: it lives in another process
/// namespace then, where its id means nothing here, and the end of the input must do.
fn wait_for_process(process: i32) -> bool {
    let Some(pid) = Pid::from_raw(process).filter(|_| process > 0) else { return false };
    if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        tracing::warn!(process, "the client's process is not known here; the server ends with its input only");
        return false;
    }
    #[cfg(target_os = "linux")]
    if let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        let mut ended = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        while rustix::event::poll(&mut ended, None) == Err(rustix::io::Errno::INTR) {}
        return true;
    }
    while rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH) {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    true
}
