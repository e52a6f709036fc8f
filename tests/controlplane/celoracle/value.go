package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

var errNotUTF8 = errors.New("utf8")

// activation has the variables as CEL sees those of Kubernetes: a JSON number is an int if it can be. A parameter of type
// number is a double whatever it looks like.
func (q question) activation() map[string]any {
	variables := map[string]any{}
	for name, value := range q.Variables {
		variables[name] = native(value)
	}
	if params, ok := variables["params"].(map[string]any); ok {
		for name, value := range params {
			if integer, ok := value.(int64); ok && strings.TrimSuffix(q.Params[name], "?") == "number" {
				params[name] = float64(integer)
			}
		}
	}
	return variables
}

func native(value any) any {
	switch value := value.(type) {
	case json.Number:
		if integer, err := value.Int64(); err == nil {
			return integer
		}
		// Out of range, it is infinite, as strconv has it.
		double, _ := value.Float64()
		return double
	case map[string]any:
		for key := range value {
			value[key] = native(value[key])
		}
	case []any:
		for i := range value {
			value[i] = native(value[i])
		}
	}
	return value
}

// encode tells values apart that plain JSON cannot: an object of one key says what it is, and maps are {"map": [[key,
// value], ...]} in the order of their keys.
func encode(value ref.Val) (any, error) {
	switch value := value.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(value), nil
	case types.Int:
		return int64(value), nil
	case types.Uint:
		return tagged("uint", strconv.FormatUint(uint64(value), 10)), nil
	case types.Double:
		return tagged("double", strconv.FormatFloat(float64(value), 'g', -1, 64)), nil
	case types.String:
		if !utf8.ValidString(string(value)) {
			return nil, errNotUTF8
		}
		return string(value), nil
	case types.Bytes:
		return tagged("bytes", []byte(value)), nil
	case types.Duration:
		return tagged("duration", strconv.FormatInt(int64(value.Duration), 10)), nil
	case *types.Optional:
		content := []any{}
		if value.HasValue() {
			inner, err := encode(value.GetValue())
			if err != nil {
				return nil, err
			}
			content = append(content, inner)
		}
		return tagged("optional", content), nil
	case traits.Lister:
		items := []any{}
		for i := value.Iterator(); i.HasNext() == types.True; {
			item, err := encode(i.Next())
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		return items, nil
	case traits.Mapper:
		entries := [][2]any{}
		for i := value.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			if key.Type() != types.StringType {
				return opaque(value), nil
			}
			name, err := encode(key)
			if err != nil {
				return nil, err
			}
			content, err := encode(value.Get(key))
			if err != nil {
				return nil, err
			}
			entries = append(entries, [2]any{name, content})
		}
		slices.SortFunc(entries, func(a, b [2]any) int { return strings.Compare(a[0].(string), b[0].(string)) })
		return tagged("map", entries), nil
	}
	return opaque(value), nil
}

func tagged(tag string, content any) any {
	return map[string]any{tag: content}
}

func opaque(value ref.Val) any {
	return map[string]any{"type": value.Type().TypeName(), "text": fmt.Sprint(value.Value())}
}
