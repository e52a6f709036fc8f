package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "cel.dev/expr/conformance/proto2" // messages that cases bring as google.protobuf.Any
	_ "cel.dev/expr/conformance/proto3"
	conformance "cel.dev/expr/conformance/test"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"google.golang.org/protobuf/encoding/prototext"
)

// testCase is a line of simple.jsonl. Values are encoded as in the oracle's answers.
type testCase struct {
	File       string            `json:"file"`
	Section    string            `json:"section"`
	Name       string            `json:"name"`
	Expression string            `json:"expression"`
	Bindings   map[string]any    `json:"bindings,omitempty"`
	Types      map[string]string `json:"types,omitempty"`
	Check      *bool             `json:"check,omitempty"`
	Value      *any              `json:"value,omitempty"`
	Error      bool              `json:"error,omitempty"`
	// What Kubernetes answers, where it is something else.
	Kubernetes *outcome `json:"kubernetes,omitempty"`
}

// conformance writes the cases of the CEL specification that can be told without protocol buffers. What is skipped is
// counted on standard error.
func (o *oracle) conformance(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.textproto"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no *.textproto in %s (%v)", folder, err)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	counts := map[string]int{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var file conformance.SimpleTestFile
		if err := prototext.Unmarshal(text, &file); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, section := range file.GetSection() {
			for _, test := range section.GetTest() {
				c, skipped, err := o.testCase(test)
				if err != nil {
					return fmt.Errorf("%s: %s: %s: %w", path, section.GetName(), test.GetName(), err)
				}
				c.File, c.Section = strings.TrimSuffix(filepath.Base(path), ".textproto"), section.GetName()
				if slices.Contains([]string{"bindings_ext", "block_ext", "encoders_ext", "math_ext"}, c.File) {
					skipped = "of a library that Kubernetes does not have"
				}
				if skipped != "" {
					counts[skipped]++
					continue
				}
				counts["written"]++
				if c.Kubernetes != nil {
					counts["written, and Kubernetes answers otherwise"]++
				}
				if err := out.Encode(c); err != nil {
					return err
				}
			}
		}
	}
	for _, count := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(os.Stderr, "%5d %s\n", counts[count], count)
	}
	return nil
}

// testCase translates a case, or says why it is skipped.
func (o *oracle) testCase(test *conformance.SimpleTest) (c testCase, skipped string, err error) {
	c = testCase{Name: test.GetName(), Expression: test.GetExpr(), Bindings: map[string]any{}, Types: map[string]string{}}
	q := question{Expression: c.Expression, Variables: map[string]any{}}
	for name := range test.GetBindings() {
		q.Variables[name] = nil // The names are all that an environment needs.
	}
	_, env, err := o.environments(q)
	if err != nil {
		return c, "", err
	}
	if skipped = untellable(env, test); skipped != "" {
		return c, skipped, nil
	}

	for _, decl := range test.GetTypeEnv() {
		declared, err := types.ProtoAsType(decl.GetIdent().GetType())
		if err != nil {
			return c, "", err
		}
		c.Types[decl.GetName()] = declared.String()
	}
	for name, binding := range test.GetBindings() {
		value, err := cel.ProtoAsValue(env.CELTypeAdapter(), binding.GetValue())
		if err != nil {
			return c, "", err
		}
		q.Variables[name] = value
		if c.Bindings[name], err = encode(value); err != nil {
			return c, "", err
		}
	}
	if test.GetDisableCheck() {
		c.Check = new(bool)
	}

	// Without any of these, the case wants true.
	expected := test.GetValue()
	if expected == nil {
		expected = test.GetTypedResult().GetResult()
	}
	var value any = true
	if expected != nil {
		decoded, err := cel.ProtoAsValue(env.CELTypeAdapter(), expected)
		if err != nil {
			return c, "", err
		}
		if value, err = encode(decoded); err != nil {
			return c, "", err
		}
	}
	c.Error = test.GetEvalError() != nil || test.GetAnyEvalErrors() != nil
	if !c.Error {
		c.Value = &value
	}

	answer := evaluate(env, q)
	if refused := answer.Value == nil; refused != c.Error || !refused && !same(answer.Value, c.Value) {
		c.Kubernetes = &answer
	}
	return c, "", nil
}

// untellable says what a case needs besides an expression, values and their comparison.
func untellable(env *cel.Env, test *conformance.SimpleTest) string {
	// An expression that does not parse has no nodes: the case is about that.
	parsed, _ := env.Parse(test.GetExpr())
	if parsed != nil {
		nodes := ast.NavigateAST(parsed.NativeRep())
		if len(ast.MatchDescendants(nodes, ast.KindMatcher(ast.StructKind))) > 0 {
			return "with messages"
		}
	}
	text := prototext.Format(test)
	switch {
	case strings.Contains(text, "cel.expr.conformance"), strings.Contains(text, "TestAllTypes"):
		return "with messages"
	case test.GetContainer() != "":
		return "with a container"
	case test.GetCheckOnly():
		return "about a deduced type alone"
	}
	return ""
}

func same(a, b *any) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}
