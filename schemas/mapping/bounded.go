package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Some functions of ext.Strings and ext.Lists make far more of their arguments than these are long,
// and CEL reckons what a call has cost when it has the memory already: six calls of replace make a
// terabyte of a byte. Expressions that come over REST could end the worker by it, so these functions
// are had with bounds. Macros put them in the place of the library's, which no expression reaches.
const (
	mostText  = 1 << 20 // bytes of a text that replace or join makes
	mostParts = 10_000  // of a text that is split, or a list that is flattened

	errTooLong      = "text longer than 1048576 bytes"
	errTooManyParts = "text split, or list flattened, into more than 10000 parts"
)

// sizes reckons the cost of these functions: as for those of
// CEL's own, a tenth of the bytes that are gone through or made.
type sizes struct{}

func (sizes) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	if !slices.Contains([]string{"@replace", "@join", "@split", "@flatten"}, function) {
		return nil
	}
	cost := uint64(1)
	for _, v := range append(slices.Clone(args), result) {
		switch v := v.(type) {
		case types.String:
			cost += uint64(len(v)) / 10
		case traits.Lister:
			if n, ok := v.Size().(types.Int); ok {
				cost += uint64(n)
			}
		}
	}
	return &cost
}

// bounded declares them. format, whose precision is a length too, is not there.
func bounded() []cel.EnvOption {
	text, number, texts, anything := cel.StringType, cel.IntType, cel.ListType(cel.StringType), cel.TypeParamType("T")
	instead := func(name string) cel.MacroFactory {
		return func(mef cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return mef.NewMemberCall(name, target, args...), nil
		}
	}
	return []cel.EnvOption{
		cel.Macros(
			cel.ReceiverMacro("replace", 2, instead("@replace")), cel.ReceiverMacro("replace", 3, instead("@replace")),
			cel.ReceiverMacro("join", 0, instead("@join")), cel.ReceiverMacro("join", 1, instead("@join")),
			cel.ReceiverMacro("split", 1, instead("@split")), cel.ReceiverMacro("split", 2, instead("@split")),
			cel.ReceiverMacro("flatten", 0, instead("@flatten")),
			cel.ReceiverMacro("flatten", 1, func(mef cel.MacroExprFactory, target ast.Expr, _ []ast.Expr) (ast.Expr, *cel.Error) {
				return nil, mef.NewError(target.ID(), "flatten takes no depth: call it once for each")
			}),
			cel.ReceiverMacro("format", 1, func(mef cel.MacroExprFactory, target ast.Expr, _ []ast.Expr) (ast.Expr, *cel.Error) {
				return nil, mef.NewError(target.ID(), "format is not available: put text together with + and string(…)")
			}),
		),
		cel.Function("@replace",
			cel.MemberOverload("replace_all", []*cel.Type{text, text, text}, text, cel.FunctionBinding(celReplace)),
			cel.MemberOverload("replace_some", []*cel.Type{text, text, text, number}, text, cel.FunctionBinding(celReplace))),
		cel.Function("@join",
			cel.MemberOverload("join_plain", []*cel.Type{texts}, text, cel.FunctionBinding(celJoin)),
			cel.MemberOverload("join_with", []*cel.Type{texts, text}, text, cel.FunctionBinding(celJoin))),
		cel.Function("@flatten", cel.MemberOverload("flatten_once", []*cel.Type{cel.ListType(cel.ListType(anything))}, cel.ListType(anything), cel.UnaryBinding(celFlatten))),
		cel.Function("@split",
			cel.MemberOverload("split_all", []*cel.Type{text, text}, texts, cel.FunctionBinding(celSplit)),
			cel.MemberOverload("split_some", []*cel.Type{text, text, number}, texts, cel.FunctionBinding(celSplit))),
	}
}

// numberAfter is the number behind so many texts, -1 where it is not given.
func numberAfter(args []ref.Val, texts int) int {
	if len(args) == texts {
		return -1
	}
	return int(args[texts].(types.Int))
}

func celReplace(args ...ref.Val) ref.Val {
	s, old, with := string(args[0].(types.String)), string(args[1].(types.String)), string(args[2].(types.String))
	n := strings.Count(s, old)
	if most := numberAfter(args, 3); most >= 0 {
		n = min(n, most)
	}
	if grows := len(with) - len(old); len(s) > mostText || grows > 0 && n > (mostText-len(s))/grows {
		return types.NewErr(errTooLong)
	}
	return types.String(strings.Replace(s, old, with, n))
}

func celJoin(args ...ref.Val) ref.Val {
	separator := ""
	if len(args) == 2 {
		separator = string(args[1].(types.String))
	}
	var b strings.Builder
	for it, first := args[0].(traits.Lister).Iterator(), true; it.HasNext() == types.True; first = false {
		part, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join takes a list of texts")
		}
		if b.Len()+len(separator)+len(part) > mostText {
			return types.NewErr(errTooLong)
		}
		if !first {
			b.WriteString(separator)
		}
		b.WriteString(string(part))
	}
	return types.String(b.String())
}

func celSplit(args ...ref.Val) ref.Val {
	s, separator := string(args[0].(types.String)), string(args[1].(types.String))
	n := numberAfter(args, 2)
	if parts := strings.Count(s, separator) + 1; parts > mostParts && (n < 0 || n > mostParts) {
		return types.NewErr(errTooManyParts)
	}
	return types.DefaultTypeAdapter.NativeToValue(strings.SplitN(s, separator, n))
}

func celFlatten(lists ref.Val) ref.Val {
	var all []ref.Val
	for it := lists.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		inner, ok := it.Next().(traits.Lister)
		if !ok {
			return types.NewErr("flatten takes a list of lists")
		}
		for in := inner.Iterator(); in.HasNext() == types.True; {
			if len(all) == mostParts {
				return types.NewErr(errTooManyParts)
			}
			all = append(all, in.Next())
		}
	}
	return types.DefaultTypeAdapter.NativeToValue(all)
}
