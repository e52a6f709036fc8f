// Celoracle tells what Kubernetes makes of CEL expressions, for tests that compare Pillion with it. Each line of its
// input is a question, and each line of its output the answer to one:
//
//	{"expression": "params.port + 1", "variables": {"params": {"port": 80}}, "params": {"port": "integer"}}
//	{"typed":null,"value":81}
//
// With a folder of conformance cases, it writes tests/fixtures/cel-spec/simple.jsonl instead: see the README there.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"

	"github.com/google/cel-go/cel"
)

type question struct {
	Expression string `json:"expression"`
	// Plain JSON. Names other than pod, container, namespaceObject and params are declared as dyn.
	Variables map[string]any `json:"variables"`
	// The types of the parameters, as a template has them: integer, number, ...; with a ? after it, null is a value too.
	Params map[string]string `json:"params"`
	// Accept what Pillion accepts and Kubernetes wants dyn() for: see relax.
	Lenient bool `json:"lenient"`
}

type answer struct {
	// Why the expression does not compile where every variable has its type, as a policy's type checker says it.
	Typed *string `json:"typed"`
	// What it gives there otherwise, if that is something else: which function a call is, is decided by types.
	WithTypes *outcome `json:"withTypes,omitempty"`
	outcome
}

// outcome is what the expression gives where every variable is dyn. It has exactly one of these.
type outcome struct {
	Compile string `json:"compile,omitempty"`
	Value   *any   `json:"value,omitempty"`
	Error   string `json:"error,omitempty"`
}

func main() {
	oracle, err := newOracle()
	if err == nil && len(os.Args) > 1 {
		err = oracle.conformance(os.Args[1])
	} else if err == nil {
		err = oracle.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "celoracle:", err)
		os.Exit(1)
	}
}

func (o *oracle) serve() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		var q question
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.UseNumber()
		decoder.DisallowUnknownFields()
		var a answer
		if err := decoder.Decode(&q); err != nil {
			a.Error = "question: " + err.Error()
		} else {
			a = o.ask(q)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (o *oracle) ask(q question) answer {
	typed, dynamic, err := o.environments(q)
	if err != nil {
		return answer{outcome: outcome{Error: "question: " + err.Error()}}
	}
	a := answer{Typed: refusal(typed, q), outcome: evaluate(dynamic, q)}
	if a.Typed == nil {
		if withTypes := evaluate(typed, q); !reflect.DeepEqual(withTypes, a.outcome) {
			a.WithTypes = &withTypes
		}
	}
	return a
}

// refusal says why an expression does not compile, if it does not. Both of these answer even where cel-go panics.
func refusal(env *cel.Env, q question) (text *string) {
	defer func() {
		if p := recover(); p != nil {
			panicked := fmt.Sprint("panic: ", p)
			text = &panicked
		}
	}()
	if _, err := compile(env, q, relaxed); err != nil {
		refused := err.Error()
		return &refused
	}
	return nil
}

func evaluate(env *cel.Env, q question) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{Error: fmt.Sprint("panic: ", p)}
		}
	}()
	ast, err := compile(env, q, relaxedLists)
	if err != nil {
		return outcome{Compile: err.Error()}
	}
	// Pillion has its own limit, so that of Kubernetes is put out of reach.
	program, err := env.Program(ast, cel.CostLimit(math.MaxUint64))
	if err != nil {
		// What is constant was evaluated already.
		return outcome{Error: err.Error()}
	}
	value, _, err := program.Eval(q.activation())
	if err != nil {
		return outcome{Error: err.Error()}
	}
	encoded, err := encode(value)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	return outcome{Value: &encoded}
}
