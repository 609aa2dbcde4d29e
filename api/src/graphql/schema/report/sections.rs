//! Sections: pages summed up by the beginnings of their names.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject, connection::PageInfo};

use super::{
    super::{errors::error, inputs::Comparison, scalars::SafeInt},
    Report, change,
    list::{AskedPart, ComparedViews, Read, ShownPart},
    read, share,
};
use crate::error_code::Code;
use reports::SectionRow;

/// A list of sections, with the fields that were read for all of its sections at once.
#[derive(Debug)]
pub(super) struct SectionList {
    report: Report,
    prefix: Arc<str>,
    compare_to: Comparison,
    rows: Vec<SectionRow>,
    names: Arc<[String]>,
    total: Read<i64>,
    compared: Read<Option<ComparedViews>>,
}

/// The sum of the pages whose names begin alike, or one page.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    list: Arc<SectionList>,
    index: usize,
}

/// Sections, most viewed first, and among equals by name.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct SectionConnection {
    /// The sections with their cursors.
    edges: Vec<SectionEdge>,
    /// Whether there are more.
    page_info: PageInfo,
}

/// One section and where it stands.
#[derive(Debug, SimpleObject)]
pub(crate) struct SectionEdge {
    /// To go on behind it, give it as `after`.
    cursor: String,
    /// The section.
    node: Section,
}

impl SectionList {
    /// Returns an empty list.
    pub(super) fn new(report: Report, prefix: Arc<str>, compare_to: Comparison) -> Self {
        let (rows, names, total, compared) = (Vec::new(), Arc::default(), Read::new(), Read::new());
        Self { report, prefix, compare_to, rows, names, total, compared }
    }

    /// Reads the list's sections.
    pub(super) async fn connection(
        self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<SectionConnection> {
        let asked = AskedPart::new(context, "sections", first, after)?;
        let Report { view, interval, filter, .. } = &self.report;
        let rows = view.sections(*interval, &filter.pages, &self.prefix, asked.after(), asked.rows()).await;
        let ShownPart { rows, cursors, page_info } = asked.show(context, &self.report, &read(rows)?).await?;
        let names = rows.iter().map(|row| row.name.clone()).collect();
        let list = Arc::new(Self { rows, names, ..self });
        let edge = |(index, cursor)| SectionEdge { cursor, node: Section { list: Arc::clone(&list), index } };
        Ok(SectionConnection { edges: cursors.into_iter().enumerate().map(edge).collect(), page_info })
    }

    async fn total(&self) -> async_graphql::Result<i64> {
        let total = async || read(self.report.view.views(self.report.interval, &self.report.filter.pages).await);
        self.total.get_or_init(total).await.clone()
    }

    async fn compared(&self) -> async_graphql::Result<Option<ComparedViews>> {
        let compare = async || {
            let Some(compared) = self.report.compared(self.compare_to).await? else { return Ok(None) };
            let Report { view, interval, filter, .. } = &self.report;
            let views_of = |interval| view.views_of_sections(interval, &filter.pages, &self.prefix, &self.names);
            let (is_whole, comparable) = (compared.part == *interval, views_of(compared.part));
            ComparedViews::read(&self.rows, is_whole, comparable, views_of(compared.other)).await
        };
        self.compared.get_or_init(compare).await.clone()
    }
}

/// The sum of the pages whose names begin alike, or one page.
#[Object]
impl Section {
    /// What all its names begin with, which ends with a slash; or the page's name.
    async fn name(&self) -> async_graphql::Result<&str> {
        Ok(&self.row()?.name)
    }

    /// Whether it is one page, with nothing below it.
    async fn is_page(&self) -> async_graphql::Result<bool> {
        Ok(self.row()?.is_page)
    }

    /// The page's title recorded last, if it is a page.
    async fn title(&self) -> async_graphql::Result<Option<&str>> {
        Ok(self.row()?.title.as_deref())
    }

    /// The sum of the views.
    async fn views(&self) -> async_graphql::Result<SafeInt> {
        Ok(SafeInt(self.row()?.views))
    }

    /// Of the totals, 0 to 1.
    async fn share(&self) -> async_graphql::Result<f64> {
        Ok(share(self.row()?.views, self.list.total().await?))
    }

    /// How many pages have views.
    async fn pages(&self) -> async_graphql::Result<i32> {
        Ok(i32::try_from(self.row()?.pages).unwrap_or(i32::MAX))
    }

    /// The views of the same whole hours that `previous` has, as in `Totals`. Null together with `previous`.
    async fn comparable_views(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.compared().await?.map(|(comparable, _)| SafeInt(comparable)))
    }

    /// The views of the period that the list's `compareTo` names; null where `Totals` has none.
    async fn previous(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.compared().await?.map(|(_, previous)| SafeInt(previous)))
    }

    /// (comparableViews - previous) / previous; null without a previous, and when that is 0.
    async fn change(&self) -> async_graphql::Result<Option<f64>> {
        Ok(self.compared().await?.and_then(|(comparable, previous)| change(comparable, previous)))
    }
}

impl Section {
    fn row(&self) -> async_graphql::Result<&SectionRow> {
        self.list.rows.get(self.index).ok_or_else(|| error(Code::Internal, "the list has no such section"))
    }

    async fn compared(&self) -> async_graphql::Result<Option<(i64, i64)>> {
        Ok(Box::pin(self.list.compared()).await?.and_then(|compared| compared.of(self.index)))
    }
}

#[ComplexObject]
impl SectionConnection {
    /// The sections without their cursors.
    async fn nodes(&self) -> Vec<Section> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }
}
