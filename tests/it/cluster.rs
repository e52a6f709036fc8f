//! Pillion in a cluster of its own: installed with the chart, with the rights that the chart gives it.
