"""The page of a recipe's results."""
from tools.comparison_page import comparison_page
from tools.precision_page import precision_page
from tools.reproducing.recipes import add_recipe_arguments, chosen_recipe
from tools.results_page import results_page


def add_arguments(parser):
    """Add the arguments of `reproduce.py page`."""
    add_recipe_arguments(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="Markdown file; its pictures go into a folder of "
                        "the same name")


def run(args):
    """Write the page that the recipe asks for."""
    recipe, output = chosen_recipe(args)
    page = {"comparison": comparison_page, "precision": precision_page}.get(recipe.get("page"), results_page)
    page(args.recipe, recipe, output, args.out)
