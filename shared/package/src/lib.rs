//! A package, its revisions, what is attached to them, and the contract every engine keeps.
//!
//! What enters is a [`Submission`]; the ingestor makes it a [`Package`] revision at level 1; every later
//! engine takes a revision and gives a new one as an [`Outcome`]. Revisions are OCI image indexes, attachments
//! their referrers, so any registry and tool of the field can handle them. Start with [`Package`], then
//! [`engine`].

mod attachment;
mod chart_archive;
mod closure;
mod delta;
pub mod engine;
mod export;
mod exported;
mod history;
mod holdings;
pub mod images_lock;
mod import;
mod lock;
mod measure;
mod package;
mod publish;
mod push;
mod request;
mod sarif;
pub mod signing;
pub mod staging;
mod submission;
mod tar_form;
pub mod verdict;
mod verify;

pub use attachment::{Attachment, attachments, current_findings, replace_findings};
pub use chart_archive::read_chart;
pub use closure::closure;
pub use delta::{Base, Delta};
pub use engine::{Context, Disposition, EngineError, Outcome, Progress, ProgressEvent, Work};
pub use export::{ExportSummary, export, export_file};
pub use history::{Entry, history, record};
pub use import::{Imported, import, import_trusted, take_chart};
pub use lock::{
    FoundBy, ImageClass, ImageEvidence, ImageLock, ImageOrigin, LeftOut, LockedImage, ValuesTried,
};
pub use measure::{Measured, measure};
pub use package::{ChartEntry, Package, PackageError, PackageImage, PackageParts};
pub use publish::publish;
pub use push::{Destination, Pushed, PushedImage, push};
pub use request::Request;
pub use sarif::{SarifSubject, sarif, sarif_of};
pub use submission::{GivenAttachment, ImageTable, Submission, SubmissionParts, UnnamedImage};
pub use verify::{Verified, VerifyError, verify_file, verify_package};
