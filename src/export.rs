//! `analytics export`: writes the counts of the report into a file.

use std::{io::Write, path::Path};

use anyhow::bail;
use chrono::SecondsFormat;
use counts::{Count, Form};
use reports::{Export, PageFilter, ReportReader, ReportSettings, freshness::FreshnessFeed};
use tokio::io::{self, AsyncWriteExt};

use crate::{
    cli::ExportSettings,
    database::{self, DiskFull},
    new_file::NewFile,
    signals::Signals,
    terminal::{self, Progress},
};

/// The argument that means standard output.
const STANDARD_OUTPUT: &str = "-";

/// How much was exported.
#[derive(Default)]
struct Exported {
    counts: u64,
    views: i64,
}

/// Exports the counts.
///
/// # Errors
/// When they can't be read or written. Then no file is left.
pub(crate) async fn export(settings: ExportSettings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    if let Some((start, end)) = settings.start.zip(settings.end)
        && end < start
    {
        bail!("--end is before --start");
    }
    let form = settings.format.or_else(|| Form::of_file(&settings.file)).unwrap_or_default();
    let pages = match (&settings.prefix, &settings.contains) {
        (Some(prefix), _) => PageFilter::Prefix(prefix.clone()),
        (_, Some(part)) => PageFilter::Contains(part.clone()),
        _ if settings.names.is_empty() => PageFilter::All,
        _ => PageFilter::Names(settings.names.clone()),
    };
    let is_output = settings.file == Path::new(STANDARD_OUTPUT);
    let file = if is_output { None } else { Some(NewFile::create(&settings.file, "an export")?) };
    let database = database::open(&settings.common.connection.clone().into(), false).await?;
    let (feed, _listener) = FreshnessFeed::new(&database);
    let reader = ReportReader::new(&database, feed, &ReportSettings { cache_bytes: 0 });
    let mut export = reader.export(pages, settings.start, settings.end).await?;
    let exported = tokio::select! {
        exported = write(&mut export, form, file.as_ref()) => exported?,
        () = signals.next() => bail!("interrupted; nothing is left of the export"),
    };
    let as_of = match export.freshness().as_of {
        Some(as_of) => format!("as of {}", as_of.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => "of a report that was never refreshed (analytics refresh)".to_owned(),
    };
    drop(export);
    let Exported { counts, views } = exported;
    let done = format!("exported {counts} counts with {views} views, {as_of}");
    match file {
        Some(file) => {
            let name = file.path().display().to_string();
            let bytes = file.complete()?;
            terminal::print(&format!("{done}, into {name}, {bytes} bytes\n"));
        }
        None => terminal::note(&format!("{done}\n")),
    }
    Ok(database.close().await?)
}

/// Writes all counts into `file`, or to standard output.
async fn write(export: &mut Export, form: Form, file: Option<&NewFile>) -> anyhow::Result<Exported> {
    let progress = Progress::start("exporting the counts");
    let mut exported = Exported::default();
    write_part(export, file, form.beginning()?).await?;
    while let Some(counts) = export.next_portion().await? {
        write_part(export, file, form.lines(&counts)?).await?;
        exported.counts += u64::try_from(counts.len()).unwrap_or(u64::MAX);
        exported.views += counts.iter().map(|Count { views, .. }| views).sum::<i64>();
        let (done, all) = export.days();
        progress.set("days", done, all);
    }
    Ok(exported)
}

async fn write_part(export: &Export, file: Option<&NewFile>, part: Vec<u8>) -> anyhow::Result<()> {
    let Some(file) = file else {
        let mut output = io::stdout();
        export
            .while_taken(async {
                output.write_all(&part).await?;
                output.flush().await
            })
            .await??;
        return Ok(());
    };
    let written = file.partial().as_file().write_all(&part);
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::StorageFull => anyhow::Error::from(error).context(DiskFull::around(file.path())),
        _ => file.failed(error).into(),
    })
}
