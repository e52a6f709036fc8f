package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/kubernetes/scheme"
	baseversion "k8s.io/component-base/version"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generated "k8s.io/kubernetes/pkg/generated/openapi"
)

// oracle has the two environments that questions are asked in.
type oracle struct {
	typed, dynamic *environment.EnvSet
	// Those of the last question. The next one often declares the same, and making them takes longer than all the rest.
	declared               string
	lastTyped, lastDynamic *cel.Env
}

// newOracle types the pod as k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go does.
func newOracle() (*oracle, error) {
	schema, err := resolver.NewDefinitionsSchemaResolver(generated.GetOpenAPIDefinitions, scheme.Scheme).
		ResolveSchema(corev1.SchemeGroupVersion.WithKind("Pod"))
	if err != nil {
		return nil, err
	}
	quantitiesAreStrings(schema)
	pod := common.SchemaDeclType(&openapi.Schema{Schema: schema}, true).MaybeAssignTypeName("Pod")
	container := pod.Fields["spec"].Type.Fields["containers"].Type.ElemType
	namespace := plugincel.BuildNamespaceType()

	// With all libraries of this version. An API server takes those of the minor version before for new expressions.
	base := environment.MustBaseEnvSet(version.MustParse(baseversion.DefaultKubeBinaryVersion))
	typed, err := extend(base, []*apiservercel.DeclType{pod, namespace}, cel.Variable("pod", pod.CelType()),
		cel.Variable("container", container.CelType()), cel.Variable("namespaceObject", namespace.CelType()))
	if err != nil {
		return nil, err
	}
	dynamic, err := extend(base, nil, cel.Variable("pod", cel.DynType), cel.Variable("container", cel.DynType),
		cel.Variable("namespaceObject", cel.DynType), cel.Variable("params", cel.DynType))
	return &oracle{typed: typed, dynamic: dynamic}, err
}

func extend(set *environment.EnvSet, decls []*apiservercel.DeclType, options ...cel.EnvOption) (*environment.EnvSet, error) {
	return set.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		DeclTypes:         decls,
		EnvOptions:        options,
	})
}

// environments are those with the variables of a question: with their types, and with all of them as dyn.
func (o *oracle) environments(q question) (typed, dynamic *cel.Env, err error) {
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(q.Variables)), func(name string) bool {
		return slices.Contains([]string{"pod", "container", "namespaceObject", "params"}, name)
	})
	declared, err := json.Marshal([]any{q.Params, others})
	if err != nil || string(declared) == o.declared {
		return o.lastTyped, o.lastDynamic, err
	}

	params, err := paramsType(q.Params)
	if err != nil {
		return nil, nil, err
	}
	var options []cel.EnvOption
	for _, name := range others {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	dynamicSet, err := extend(o.dynamic, nil, options...)
	if err != nil {
		return nil, nil, err
	}
	typedSet, err := extend(o.typed, []*apiservercel.DeclType{params}, append(options, cel.Variable("params", params.CelType()))...)
	if err != nil {
		return nil, nil, err
	}
	o.declared, o.lastTyped, o.lastDynamic = string(declared), typedSet.NewExpressionsEnv(), dynamicSet.NewExpressionsEnv()
	return o.lastTyped, o.lastDynamic, nil
}

func paramsType(params map[string]string) (*apiservercel.DeclType, error) {
	fields := map[string]*apiservercel.DeclField{}
	for name, kind := range params {
		kind, nullable := strings.CutSuffix(kind, "?")
		celType, ok := map[string]*cel.Type{
			"integer": cel.IntType, "number": cel.DoubleType, "boolean": cel.BoolType, "string": cel.StringType,
			"quantity": cel.StringType, "duration": cel.StringType,
			"list": cel.ListType(cel.DynType), "object": cel.MapType(cel.StringType, cel.DynType),
		}[kind]
		if !ok {
			return nil, fmt.Errorf("parameter %q cannot be of type %q", name, kind)
		}
		if nullable && (kind == "list" || kind == "object") {
			celType = cel.DynType // There is no list or map that == compares with null.
		} else if nullable {
			celType = cel.NullableType(celType)
		}
		// The last two are for values and cost estimates, which type checking needs neither of.
		declType := apiservercel.NewSimpleTypeWithMinSize(name, celType, nil, 1)
		fields[name] = apiservercel.NewDeclField(name, declType, true, nil, nil)
	}
	return apiservercel.NewObjectType("Params", fields), nil
}

// quantitiesAreStrings gives quantities the type that their values have. Their schema is one of a string and a number, and
// the type checker leaves out fields of such a type.
func quantitiesAreStrings(schema *spec.Schema) {
	if len(schema.Type) == 0 && len(schema.OneOf) > 0 {
		schema.Type = []string{"string"}
	}
	for name, property := range schema.Properties {
		quantitiesAreStrings(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		quantitiesAreStrings(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		quantitiesAreStrings(schema.AdditionalProperties.Schema)
	}
}

// How much Pillion accepts that Kubernetes wants dyn() for.
const (
	strict = iota
	relaxed
	// Items of lists, too: Kubernetes takes dyn for a type of its own there.
	relaxedLists
)

// compile compiles a question as strictly as it can be, and at most as leniently as it may be.
func compile(env *cel.Env, q question, most int) (checked *cel.Ast, err error) {
	if !q.Lenient {
		most = strict
	}
	for level := strict; level <= most; level++ {
		parsed, issues := env.Parse(q.Expression)
		if issues.Err() != nil {
			return nil, issues.Err()
		}
		if level > strict {
			relax(parsed.NativeRep(), level == relaxedLists)
		}
		if checked, issues = env.Check(parsed); issues.Err() == nil {
			return checked, nil
		}
		err = issues.Err()
	}
	return nil, err
}

// relax wraps each null and each value of a map literal in dyn(), so that null compares with anything and a map may have
// values of different types. For Kubernetes an author has to write the dyn(), for Pillion not. With lists, it does the same
// for the items of a list.
func relax(tree *ast.AST, lists bool) {
	factory, id := ast.NewExprFactory(), ast.MaxID(tree)
	next := func() int64 {
		id++
		return id
	}
	// A wrapper takes the place of what it wraps, which moves into a new node. Messages point at the same text.
	moved := func(e ast.Expr) ast.Expr {
		inner := factory.NewUnspecifiedExpr(next())
		inner.SetKindCase(e)
		if at, ok := tree.SourceInfo().GetOffsetRange(e.ID()); ok {
			tree.SourceInfo().SetOffsetRange(inner.ID(), at)
		}
		return inner
	}
	dyn := func(e ast.Expr) ast.Expr {
		return factory.NewCall(next(), "dyn", e)
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue:
			e.SetKindCase(dyn(moved(e)))
		case e.Kind() == ast.ListKind && lists && len(e.AsList().OptionalIndices()) == 0:
			for _, item := range e.AsList().Elements() {
				item.SetKindCase(dyn(moved(item)))
			}
		case e.Kind() == ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				value := entry.AsMapEntry().Value()
				if entry.AsMapEntry().IsOptional() {
					// The checker wants an optional here, and cel-go panics at a dyn. This makes it an optional of dyn:
					// false ? optional.of(dyn(null)) : value
					value.SetKindCase(factory.NewCall(next(), operators.Conditional, factory.NewLiteral(next(), types.False),
						factory.NewCall(next(), "optional.of", dyn(factory.NewLiteral(next(), types.NullValue))), moved(value)))
				} else {
					value.SetKindCase(dyn(moved(value)))
				}
			}
		}
	}))
}
