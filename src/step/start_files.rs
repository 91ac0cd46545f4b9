//! The files by which a run starts: written under temporary names, then published, the pid last. `runner::start` and
//! `ops::self_managed` call it.

use crate::decide::snapshot::LocalContext;
use crate::error::Error;
use crate::record::file_names::{Record, TempFile, file_name};
use crate::record::meta::Meta;
use crate::record::pid::PidFileId;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::{clock, env};
use std::io::{self, Write};

/// The start files of one run.
pub(crate) struct StartFiles<'run> {
    pub(crate) directory: &'run MonitorDir,
    pub(crate) step: &'run StepName,
    /// The run's id.
    pub(crate) id: &'run str,
}

impl StartFiles<'_> {
    /// What the first record of every run says.
    pub(crate) fn first_meta(&self, here: &LocalContext, began: MonotonicTime) -> Meta {
        Meta {
            run_id: self.id.to_owned(),
            host: Some(here.host.clone()),
            boot_id: Some(here.boot_id.clone()).filter(|id| !id.is_empty()),
            pid_namespace: here.pid_namespace,
            time_namespace: here.time_namespace,
            directory: here.directory,
            started_awake_ms: Some(began.as_millis()),
            uid: Some(env::user()),
            started_at: Some(clock::wall().rfc3339()),
            ..Meta::default()
        }
    }

    /// Writes pid and meta. The meta names the pid file's time, so that one is written first; a rename leaves the time as it
    /// is. Returns both, by which the run is known, and how many bytes the meta has.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn write(&self, meta: &mut Meta) -> Result<(PidFileId, usize), Error> {
        let pid = meta.pid.unwrap_or_default();
        // Closed before it is looked at: a network filesystem may stamp it when it is closed.
        self.make(Record::Pid, format!("{pid}\n").as_bytes())?;
        let written = self.directory.stat(&self.temporary(Record::Pid));
        let stamp = written.and_then(|file| file.stamp().ok_or_else(|| io::ErrorKind::NotFound.into()));
        let modified = stamp.map_err(|error| self.cannot_write(Record::Pid, error))?.modified;
        meta.pid_mtime_ns = Some(modified.as_nanos());
        let encoded = meta.encode();
        self.make(Record::Meta, &encoded)?;
        Ok((PidFileId { pid, written: modified }, encoded.len()))
    }

    /// Writes one of them.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn make(&self, record: Record, content: &[u8]) -> Result<(), Error> {
        let made = self.directory.file(&self.temporary(record)).create_new();
        made.and_then(|mut file| file.write_all(content)).map_err(|error| self.cannot_write(record, error))
    }

    /// Publishes these in this order.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn publish(&self, records: &[Record]) -> Result<(), Error> {
        records.iter().try_for_each(|&record| {
            let published = self
                .directory
                .file(&self.temporary(record))
                .rename(&self.directory.file(&file_name(self.step, record)));
            published.map_err(|error| self.cannot_write(record, error))
        })
    }

    pub(crate) fn cannot_write(&self, record: Record, error: io::Error) -> Error {
        Error::io(format!("cannot write {}", self.directory.join(&file_name(self.step, record)).display()), error)
    }

    fn temporary(&self, record: Record) -> String {
        TempFile::Start(record).of(self.step, self.id)
    }
}
