//! Tables of samples: `samples`, and one for each metric.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use model::{METRIC_NAME, Matcher, TimeRange};
use storage::Source;

use super::columns::{SeriesColumn, TableColumn};
use super::pushdown::{self, Pushed};
use super::scan::{Scan, ScanExec};
use super::series_filter::SeriesFilter;
use super::series_scan::SeriesScanExec;
use super::usage::Usage;
use crate::QueryError;

/// A table over the series that some matchers pick. A row is a sample, or, without columns of samples, a series.
#[derive(Debug)]
pub(crate) struct Table {
    source: Arc<dyn Source>,
    usage: Usage,
    matchers: Vec<Matcher>,
    columns: Vec<(String, TableColumn)>,
    schema: SchemaRef,
    /// Rows are samples.
    of_samples: bool,
}

/// Names that columns have in every table of a metric. A label of such a name is prefixed.
const FIXED: [(&str, TableColumn); 3] = [
    ("timestamp", TableColumn::Timestamp),
    ("value", TableColumn::Value),
    ("series_id", TableColumn::Series(SeriesColumn::Id)),
];

/// Put before a label whose name is taken.
const LABEL_PREFIX: &str = "label_";

impl Table {
    /// `samples`: every sample of every series.
    pub(crate) fn samples(source: Arc<dyn Source>, usage: Usage) -> Self {
        let columns = vec![
            ("series_id".to_owned(), TableColumn::Series(SeriesColumn::Id)),
            ("metric".to_owned(), TableColumn::metric()),
            ("timestamp".to_owned(), TableColumn::Timestamp),
            ("value".to_owned(), TableColumn::Value),
        ];
        Self::new(source, usage, Vec::new(), columns)
    }

    /// `series`: every series.
    pub(crate) fn series(source: Arc<dyn Source>, usage: Usage) -> Self {
        let columns = vec![
            ("series_id".to_owned(), TableColumn::Series(SeriesColumn::Id)),
            ("metric".to_owned(), TableColumn::metric()),
            ("labels".to_owned(), TableColumn::Series(SeriesColumn::Labels)),
        ];
        Self {
            of_samples: false,
            ..Self::new(source, usage, Vec::new(), columns)
        }
    }

    /// The samples of one metric, each label a column; `None` when there is no such metric.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn metric(
        source: Arc<dyn Source>,
        usage: Usage,
        name: &str,
    ) -> Result<Option<Self>, QueryError> {
        let matchers = vec![Matcher::equal(METRIC_NAME, name)];
        let selection = source.select(&matchers, TimeRange::ALL)?;
        if name.is_empty() || selection.n_series() == 0 {
            return Ok(None);
        }
        let labels = selection.label_names();
        let columns = metric_columns(labels.into_iter().filter(|label| &**label != METRIC_NAME));
        Ok(Some(Self::new(source, usage, matchers, columns)))
    }

    fn new(
        source: Arc<dyn Source>,
        usage: Usage,
        matchers: Vec<Matcher>,
        columns: Vec<(String, TableColumn)>,
    ) -> Self {
        let fields = columns.iter().map(|(name, column)| column.field(name));
        Self {
            source,
            usage,
            matchers,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
            of_samples: true,
        }
    }

    /// The columns that are asked for; all of them, if nothing is said.
    fn projected(&self, projection: Option<&Vec<usize>>) -> (Vec<TableColumn>, SchemaRef) {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let chosen = projection.unwrap_or(&all);
        let columns = chosen.iter().map(|&idx| self.columns[idx].1.clone()).collect();
        let fields: Vec<_> = chosen
            .iter()
            .map(|&idx| Arc::clone(&self.schema.fields()[idx]))
            .collect();
        (columns, Arc::new(Schema::new(fields)))
    }
}

fn metric_columns(labels: impl Iterator<Item = Arc<str>>) -> Vec<(String, TableColumn)> {
    let labels: Vec<Arc<str>> = labels.collect();
    let mut columns: Vec<(String, TableColumn)> =
        FIXED.map(|(name, column)| (name.to_owned(), column)).to_vec();
    let is_label = |name: &str| labels.iter().any(|label| &**label == name);
    for label in &labels {
        let mut name = label.to_string();
        if FIXED.iter().any(|(fixed, _)| *fixed == name) {
            name.insert_str(0, LABEL_PREFIX);
            while is_label(&name) {
                name.insert_str(0, LABEL_PREFIX);
            }
        }
        let column = TableColumn::Series(SeriesColumn::Label(Arc::clone(label)));
        columns.push((name, column));
    }
    columns
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| pushdown::support(&self.columns, filter);
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (columns, schema) = self.projected(projection);
        let Pushed {
            matchers,
            range,
            of_series,
        } = pushdown::push(&self.columns, filters);
        if range.start_ms >= range.end_ms {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let matchers = [self.matchers.clone(), matchers].concat();
        self.usage.check()?;
        let selection = self.source.select(&matchers, range).map_err(QueryError::from)?;
        self.usage.add_selected(&selection);
        let table_schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let conditions: DataFusionResult<Vec<_>> = of_series
            .into_iter()
            .map(|condition| state.create_physical_expr(condition, &table_schema))
            .collect();
        let kinds: Vec<TableColumn> = self.columns.iter().map(|(_, column)| column.clone()).collect();
        let scan = Scan {
            filter: SeriesFilter::new(&kinds, conditions?)?,
            selection,
            matchers,
            range,
            columns,
            schema,
            limit,
            usage: self.usage.clone(),
        };
        if self.of_samples {
            let n_partitions = state.config().target_partitions();
            return Ok(Arc::new(ScanExec::new(scan, n_partitions)));
        }
        Ok(Arc::new(SeriesScanExec::new(scan)))
    }
}
