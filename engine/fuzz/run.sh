#!/bin/sh
# Fuzzes the engine with cargo-fuzz: ./run.sh SECONDS [TARGET...], by default all targets, each that long.
# `seeds/` is where they begin, `corpus/` what they came upon since, and `artifacts/` what went wrong.
set -eu
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")"
PATH=$PWD/../../target/tools/bin:$PATH
[ $# -gt 0 ] || set -- json review template parameter expression

for target; do
  case $target in
    review | json) real=../../tests/fixtures/reviews ;;
    template) real=../../manifests/templates ;;
    *) real= ;;
  esac
  mkdir -p "corpus/$target"
  # Sanitizers ask for a nightly compiler, and for unsafe code to look at.
  # shellcheck disable=SC2086
  cargo fuzz run --fuzz-dir . --target-dir ../../target/fuzz -s none "$target" "corpus/$target" "seeds/$target" $real -- \
    -dict=words.dict -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048
done
